package rdrr_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/blake3"

	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// foreign builds an artifact as other writers do: tensors under their published names, experts sharing shards.
type foreign struct {
	files    fstest.MapFS
	manifest map[string]any
	shards   [][]byte
	tensors  map[string]any
}

func newForeign(version any) *foreign {
	return &foreign{files: fstest.MapFS{}, tensors: map[string]any{}, manifest: map[string]any{
		"version": version, "modelId": "toy", "modelType": "transformer", "quantization": "Q4_K_M", "architecture": "MixtralForCausalLM",
		"config": map[string]any{"num_experts_per_tok": 1, "hidden_act": "silu", "q4kLayout": "row_wise"},
	}}
}

// put appends a tensor to the shard and records it with the key that the writer uses for the shard's index.
func (f *foreign) put(shard int, key, name, dtype string, x *rdrr.Tensor) {
	for len(f.shards) <= shard {
		f.shards = append(f.shards, nil)
	}
	offset := (len(f.shards[shard]) + 4095) / 4096 * 4096
	f.shards[shard] = append(f.shards[shard], make([]byte, offset-len(f.shards[shard]))...)
	f.shards[shard] = append(f.shards[shard], x.Data...)
	f.tensors[name] = map[string]any{key: shard, "offset": offset, "size": len(x.Data), "shape": x.Shape, "dtype": dtype}
}

func (f *foreign) open(t *testing.T) *rdrr.Model {
	t.Helper()
	raw, err := json.Marshal(f.manifest)
	if err != nil {
		t.Fatal(err)
	}
	f.files[rdrr.ManifestFile] = &fstest.MapFile{Data: raw}
	m, err := rdrr.Open(f.files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func (f *foreign) expert(shard int, key string, expert int) []*rdrr.Tensor {
	want := testExpert(1, expert)
	for i, published := range []string{"w1", "w3", "w2"} {
		name := fmt.Sprintf("model.layers.1.block_sparse_moe.experts.%d.%s.weight", expert, published)
		f.put(shard, key, name, want[i].Type.String(), want[i])
	}
	return want
}

// The first public writer: version "1.0", fileName, shardIndex, an inline tensor map, Q4_K called Q4_K_M, a map from "L_E" to
// shards, BLAKE3 digests under the label sha256.
func TestVersion10(t *testing.T) {
	f := newForeign("1.0")
	embed := testTensor("model.embed_tokens.weight", quant.Q4_K, 3, 300)
	f.put(0, "shardIndex", "model.embed_tokens.weight", "Q4_K_M", embed)
	want := f.expert(1, "shardIndex", 0)
	f.expert(1, "shardIndex", 1)
	f.tensors["vision_tower.patch.weight"] = map[string]any{"shardIndex": 0, "offset": 0, "size": 1, "shape": []int{1}, "dtype": "U8"}
	var shards []any
	for i, b := range f.shards {
		name, sum := fmt.Sprintf("shard_%05d.bin", i), blake3.Sum256(b)
		f.files[name] = &fstest.MapFile{Data: b}
		shards = append(shards, map[string]any{"index": i, "fileName": name, "size": len(b), "hash": hex.EncodeToString(sum[:]), "hashAlgorithm": "sha256"})
	}
	f.manifest["shards"], f.manifest["tensors"], f.manifest["hashAlgorithm"] = shards, f.tensors, "sha256"
	f.manifest["moeConfig"] = map[string]any{"numExperts": 2, "numExpertsPerToken": 1, "sharedExperts": []int{-1},
		"expertShardMap": map[string]any{"1_0": []int{1}, "1_1": 1, "1_-1": []int{0}}}
	f.files["tokenizer.json"] = &fstest.MapFile{Data: []byte("{}")}

	m := f.open(t)
	got, err := m.Tensor("model.embed_tokens.weight")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(embed, got); d != "" {
		t.Error(d)
	}
	e, err := m.Expert(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&rdrr.Expert{Gate: want[0], Up: want[1], Down: want[2]}, e); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(testMoE(), m.MoE()); d != "" {
		t.Error(d)
	}
	if b, err := m.File("tokenizer.json"); err != nil || string(b) != "{}" {
		t.Errorf("a file that the manifest does not list gives %q, %v", b, err)
	}
	if _, err := m.File("../x"); err == nil {
		t.Error("a file outside of the folder is read")
	}
	if err := m.VerifyAll(context.Background(), nil); err != nil {
		t.Error(err)
	}
}

// A later writer: tensors in a file of their own, filename and shard, prefixed hashes, groups, no moeConfig, and a tensor cut
// across shards.
func TestTensorsFileAndSpans(t *testing.T) {
	f := newForeign(1)
	want := f.expert(0, "shard", 0)
	f.expert(0, "shard", 1)
	embed := testTensor("model.embed_tokens.weight", quant.BF16, 16, hidden)
	cut := 1000
	first := len(f.shards[0])
	f.shards[0] = append(f.shards[0], embed.Data[:cut]...)
	f.shards = append(f.shards, append(embed.Data[cut:len(embed.Data):len(embed.Data)], 1, 2, 3))
	f.tensors["model.embed_tokens.weight"] = map[string]any{"shard": 0, "offset": first, "size": len(embed.Data), "shape": embed.Shape, "dtype": "BF16",
		"spans": []any{map[string]any{"shardIndex": 0, "offset": first, "size": cut}, map[string]any{"shardIndex": 1, "offset": 0, "size": len(embed.Data) - cut}}}
	var shards []any
	for i, b := range f.shards {
		name, sum := fmt.Sprintf("s%d.bin", i), sha256.Sum256(b)
		f.files[name] = &fstest.MapFile{Data: b}
		shards = append(shards, map[string]any{"filename": name, "size": len(b), "hash": "sha256:" + strings.ToUpper(hex.EncodeToString(sum[:]))})
	}
	f.manifest["shards"], f.manifest["tensorsFile"] = shards, "tensors.json"
	f.manifest["quantizationInfo"] = map[string]any{"layout": "row"}
	f.manifest["groups"] = map[string]any{"embed": map[string]any{"shards": []int{0, 1}}, "layer.1.expert.0": map[string]any{"shards": []int{0}}}
	tensors, err := json.Marshal(f.tensors)
	if err != nil {
		t.Fatal(err)
	}
	for how, data := range map[string]string{"bare": " " + string(tensors), "wrapped": `{"tensors": ` + string(tensors) + `}`} {
		f.files["tensors.json"] = &fstest.MapFile{Data: []byte(data)}
		m := f.open(t)
		got, err := m.Tensor("model.embed_tokens.weight")
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if d := cmp.Diff(embed, got); d != "" {
			t.Errorf("%s: %s", how, d)
		}
		e, err := m.Expert(1, 0)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if d := cmp.Diff(&rdrr.Expert{Gate: want[0], Up: want[1], Down: want[2]}, e); d != "" {
			t.Errorf("%s: %s", how, d)
		}
		if d := cmp.Diff(testMoE(), m.MoE()); d != "" {
			t.Errorf("%s: derived moe: %s", how, d)
		}
	}
	delete(f.files, "tensors.json")
	if _, err := rdrr.Open(f.files); err == nil || !strings.Contains(err.Error(), "tensors.json is missing") {
		t.Errorf("without its tensors file: %v", err)
	}
}

// Blocks that run over row ends, or down columns, cannot be multiplied row by row.
func TestForeignLayouts(t *testing.T) {
	for _, c := range []struct {
		layout string
		cols   int
		want   string
	}{
		{"flat", 256, ""},
		{"flat", 300, `layout "flat"`},
		{"column_wise", 256, `layout "column_wise"`},
		{"row_wise", 300, ""},
	} {
		f := newForeign("1.0")
		f.manifest["config"] = map[string]any{"q4kLayout": c.layout}
		x := testTensor("model.embed_tokens.weight", quant.Q4_K, 3, c.cols)
		f.put(0, "shard", x.Name, "Q4_K", x)
		sum := sha256.Sum256(f.shards[0])
		f.manifest["shards"] = []any{map[string]any{"fileName": "a.bin", "size": len(x.Data), "hash": hex.EncodeToString(sum[:])}}
		f.manifest["tensors"] = f.tensors
		raw, err := json.Marshal(f.manifest)
		if err != nil {
			t.Fatal(err)
		}
		_, err = rdrr.ParseManifest(raw, nil)
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s of %d columns: %v, want %q", c.layout, c.cols, err, c.want)
		}
	}
}
