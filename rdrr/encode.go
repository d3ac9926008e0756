package rdrr

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"shoal/rdrr/quant"
)

// The manifest as this package writes it: fields of version 1, and those that other readers want beside them.
type (
	outShard struct {
		Index     int       `json:"index"`
		Filename  string    `json:"filename"`
		Size      int64     `json:"size"`
		Hash      string    `json:"hash"`
		Algorithm Algorithm `json:"hashAlgorithm"`
		Offset    int64     `json:"offset"`
		Type      string    `json:"type"` // "dense" or "expert"
		ExpertKey string    `json:"expertKey,omitempty"`
	}
	outTensor struct {
		Shard  int    `json:"shard"`
		Offset int64  `json:"offset"`
		Size   int64  `json:"size"`
		Shape  []int  `json:"shape"`
		DType  string `json:"dtype"`
		Role   Role   `json:"role"`
		Group  string `json:"group,omitempty"`
		Layout string `json:"layout"`
	}
	outGroup struct {
		Type    string   `json:"type"`
		Version string   `json:"version"`
		Shards  []int    `json:"shards"`
		Tensors []string `json:"tensors"`
		Layer   int      `json:"layerIndex"`
		Expert  int      `json:"expertIndex"`
	}
	outMoE struct {
		MoE
		ExpertFormat   string           `json:"expertFormat"`
		ExpertShardMap map[string][]int `json:"expertShardMap"`
	}
	outFile struct {
		Size      int64     `json:"size"`
		Hash      string    `json:"hash"`
		Algorithm Algorithm `json:"hashAlgorithm"`
	}
	outQuantization struct {
		Weights    string `json:"weights,omitempty"`
		Embeddings string `json:"embeddings,omitempty"`
		LMHead     string `json:"lmHead,omitempty"`
		Experts    string `json:"experts,omitempty"`
		Layout     string `json:"layout"`
		VariantTag string `json:"variantTag"`
	}
	outTokenizer struct {
		Type      string `json:"type"`
		File      string `json:"file"`
		VocabSize int    `json:"vocabSize,omitempty"`
	}
)

// encodeManifest lays the manifest out with one shard, tensor, group or file a line. The same artifact gives the same bytes.
func (w *Writer) encodeManifest() ([]byte, error) {
	slices.SortFunc(w.tensors, func(a, b TensorEntry) int { return strings.Compare(a.Name, b.Name) })
	shards, groups := w.outShards(), w.outGroups()
	tensors := make(map[string]outTensor, len(w.tensors))
	for _, t := range w.tensors {
		tensors[t.Name] = outTensor{Shard: t.Spans[0].Shard, Offset: t.Spans[0].Offset, Size: t.Spans[0].Size, Shape: t.Shape,
			DType: t.Type.String(), Role: t.Role, Group: groupOf(t.Name), Layout: "row"}
	}
	files := map[string]outFile{}
	for _, f := range w.files {
		files[f.Name] = outFile{f.Size, f.Hash, f.Algorithm}
	}
	var total int64
	for _, s := range w.shards {
		total += s.Size
	}
	p := &lines{}
	p.field("version", Version)
	p.field("modelId", w.header.ModelID)
	p.field("modelType", w.header.ModelType)
	p.field("quantization", first(w.header.Quantization, "none"))
	p.field("quantizationInfo", w.quantizationInfo())
	p.field("hashAlgorithm", w.options.Algorithm)
	p.field("shardingStrategy", "expert")
	if a := architectureOf(w.header.Config); a != nil {
		p.field("architecture", a)
	}
	p.field("config", w.header.Config)
	if moe := w.header.MoE; moe != nil {
		p.field("moeConfig", outMoE{MoE: *moe, ExpertFormat: expertFormat(moe), ExpertShardMap: expertShardMap(groups)})
	}
	if _, ok := files["tokenizer.json"]; ok {
		p.field("tokenizer", outTokenizer{Type: "huggingface", File: "tokenizer.json", VocabSize: architectureInts(w.header.Config)["vocab_size"]})
	}
	members(p, "files", files)
	p.field("totalSize", total)
	p.field("tensorCount", len(tensors))
	p.list("shards", shards)
	members(p, "groups", groups)
	members(p, "tensors", tensors)
	return p.finish()
}

func (w *Writer) outShards() []outShard {
	out := make([]outShard, len(w.shards))
	offset := int64(0)
	for i, s := range w.shards {
		out[i] = outShard{Index: i, Filename: s.File, Size: s.Size, Hash: s.Hash, Algorithm: s.Algorithm, Offset: offset, Type: "dense"}
		offset += s.Size
	}
	for _, t := range w.tensors {
		if layer, expert, _, ok := SplitExpertName(t.Name); ok {
			s := &out[t.Spans[0].Shard]
			s.Type, s.ExpertKey = "expert", fmt.Sprintf("%d_%d", layer, expert)
		}
	}
	return out
}

func (w *Writer) outGroups() map[string]outGroup {
	groups := map[string]outGroup{}
	for _, t := range w.tensors {
		layer, expert, _, ok := SplitExpertName(t.Name)
		if !ok {
			continue
		}
		g, ok := groups[groupOf(t.Name)]
		if !ok {
			g = outGroup{Type: "expert", Version: "1.0.0", Shards: []int{t.Spans[0].Shard}, Layer: layer, Expert: expert}
		}
		g.Tensors = append(g.Tensors, t.Name)
		groups[groupOf(t.Name)] = g
	}
	return groups
}

func groupOf(name string) string {
	if layer, expert, _, ok := SplitExpertName(name); ok {
		return fmt.Sprintf("layer.%d.expert.%d", layer, expert)
	}
	return ""
}

func expertShardMap(groups map[string]outGroup) map[string][]int {
	m := map[string][]int{}
	for _, g := range groups {
		m[fmt.Sprintf("%d_%d", g.Layer, g.Expert)] = g.Shards
	}
	return m
}

func expertFormat(moe *MoE) string {
	if moe.Activation == "swiglu_oai" {
		return "gpt-oss"
	}
	return "mixtral"
}

// quantizationInfo names the type that holds most of the bytes of each kind of tensor.
func (w *Writer) quantizationInfo() outQuantization {
	bytes := map[Role]map[quant.Type]int64{}
	for _, t := range w.tensors {
		if bytes[t.Role] == nil {
			bytes[t.Role] = map[quant.Type]int64{}
		}
		bytes[t.Role][t.Type] += t.Size()
	}
	most := func(r Role) string {
		best := quant.Invalid
		for _, t := range quant.Types() {
			if bytes[r][t] > bytes[r][best] {
				best = t
			}
		}
		if best == quant.Invalid {
			return ""
		}
		return strings.ToLower(best.String())
	}
	return outQuantization{Weights: most(RoleMatrix), Embeddings: most(RoleEmbedding), LMHead: most(RoleHead), Experts: most(RoleExpert),
		Layout: "row", VariantTag: strings.ToLower(first(w.header.Quantization, "none"))}
}

// architectureOf gives the dimensions that other readers want as an object, nil if the configuration lacks one of them.
func architectureOf(config json.RawMessage) map[string]int {
	c := architectureInts(config)
	if c["num_key_value_heads"] == 0 {
		c["num_key_value_heads"] = c["num_attention_heads"]
	}
	if c["head_dim"] == 0 && c["num_attention_heads"] > 0 {
		c["head_dim"] = c["hidden_size"] / c["num_attention_heads"]
	}
	out := map[string]int{}
	for theirs, hub := range map[string]string{"numLayers": "num_hidden_layers", "hiddenSize": "hidden_size", "intermediateSize": "intermediate_size",
		"numAttentionHeads": "num_attention_heads", "numKeyValueHeads": "num_key_value_heads", "headDim": "head_dim", "vocabSize": "vocab_size",
		"maxSeqLen": "max_position_embeddings"} {
		if c[hub] <= 0 {
			return nil
		}
		out[theirs] = c[hub]
	}
	return out
}

// architectureInts returns the whole numbers of a hub-style configuration, those of a nested text_config included.
func architectureInts(config json.RawMessage) map[string]int {
	ints := map[string]int{}
	var fields map[string]json.RawMessage
	if json.Unmarshal(config, &fields) != nil {
		return ints
	}
	if text := fields["text_config"]; isObject(text) {
		ints = architectureInts(text)
	}
	for name, raw := range fields {
		var n int
		if json.Unmarshal(raw, &n) == nil && n != 0 {
			ints[name] = n
		}
	}
	return ints
}
