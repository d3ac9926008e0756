package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
	"shoal/experts"
	"shoal/model"
	"shoal/rdrr"
)

type inspectCommand struct {
	Dir  string `arg:"" name:"DIR" help:"Artifact."`
	JSON bool   `help:"Print one JSON object."`
}

func (c *inspectCommand) Help() string { return "Example:\n\n    p2p inspect ~/models/qwen3" }

// inspection is what an artifact says of itself.
type inspection struct {
	Model            string           `json:"model"` // digest
	Name             string           `json:"name"`
	Architecture     string           `json:"architecture"`
	Quantization     string           `json:"quantization"`
	Parameters       int64            `json:"parameters"`
	ActiveParameters int64            `json:"active_parameters"`
	WeightBytes      int64            `json:"weight_bytes"`
	TrunkBytes       int64            `json:"trunk_bytes"`
	ExpertBytes      int64            `json:"expert_bytes"`
	BytesPerToken    int64            `json:"weight_bytes_per_token"`
	Layers           int              `json:"layers"`
	Hidden           int              `json:"hidden_size"`
	Vocab            int              `json:"vocab_size"`
	Context          int              `json:"context"`
	CacheBytes       map[string]int64 `json:"kv_cache_bytes"` // by number of positions
	MoE              *rdrr.MoE        `json:"moe"`            // null for a dense model
	Shards           int              `json:"shards"`
	Formats          map[string]int64 `json:"formats"` // weights per number format
	Files            []string         `json:"files"`
}

func (c *inspectCommand) Run() error {
	artifact, err := setup.OpenModel(c.Dir)
	if err != nil {
		return err
	}
	defer artifact.Close()
	in, err := inspect(artifact)
	if err != nil {
		return fmt.Errorf("inspect %s: %w", c.Dir, err)
	}
	if c.JSON {
		return printJSON(os.Stdout, in)
	}
	in.print()
	return nil
}

func inspect(artifact *rdrr.Model) (*inspection, error) {
	spec, err := model.Parse(artifact.Config())
	if err != nil {
		return nil, err
	}
	manifest, figures := artifact.Manifest(), spec.Figures()
	_, active := setup.WeightBytes(artifact, spec)
	in := &inspection{
		Model: artifact.Digest().String(), Name: manifest.ModelID, Architecture: spec.Family, Quantization: manifest.Quantization,
		Parameters: figures.Parameters, ActiveParameters: figures.Active, BytesPerToken: active,
		Layers: len(spec.Layers), Hidden: spec.Hidden, Vocab: spec.Vocab, Context: spec.MaxPositions,
		CacheBytes: map[string]int64{}, MoE: artifact.MoE(), Shards: len(manifest.Shards), Formats: map[string]int64{}, Files: []string{},
	}
	for _, t := range manifest.Tensors {
		n := int64(1)
		for _, d := range t.Shape {
			n *= int64(d)
		}
		in.Formats[t.Type.String()] += n
		in.WeightBytes += t.Size()
		if t.Role == rdrr.RoleExpert {
			in.ExpertBytes += t.Size()
		}
	}
	in.TrunkBytes = in.WeightBytes - in.ExpertBytes
	for positions := 1024; ; positions *= 4 {
		positions = min(positions, spec.MaxPositions)
		in.CacheBytes[fmt.Sprint(positions)] = spec.CacheBytes(positions)
		if positions == spec.MaxPositions {
			break
		}
	}
	for _, f := range manifest.Files {
		in.Files = append(in.Files, f.Name)
	}
	return in, nil
}

func (in *inspection) print() {
	fmt.Printf("%s (%s, %s)\nmodel %s\n", in.Name, in.Architecture, in.Quantization, in.Model)
	var t console.Table
	t.Row("parameters", millions(in.Parameters), "active per token "+millions(in.ActiveParameters))
	t.Row("weights", console.Bytes(in.WeightBytes), fmt.Sprintf("trunk %s, experts %s", console.Bytes(in.TrunkBytes), console.Bytes(in.ExpertBytes)))
	t.Row("read per token", console.Bytes(in.BytesPerToken), "")
	t.Row("layers", in.Layers, fmt.Sprintf("hidden size %d, vocabulary %d, context %d", in.Hidden, in.Vocab, in.Context))
	if in.MoE != nil {
		t.Row("experts", in.MoE.Experts, fmt.Sprintf("top-%d, %s each, in layers %s", in.MoE.TopK,
			console.Bytes(in.ExpertBytes/int64(in.MoE.Experts*len(in.MoE.Layers))), experts.FormatRanges(in.MoE.Layers)))
	}
	t.Row("shards", in.Shards, strings.Join(in.formats(), ", "))
	t.Print(os.Stdout)
	fmt.Println("KV cache:")
	var cache console.Table
	for positions := 1024; ; positions *= 4 {
		positions = min(positions, in.Context)
		cache.Row(fmt.Sprintf("%d positions", positions), console.Bytes(in.CacheBytes[fmt.Sprint(positions)]))
		if positions == in.Context {
			break
		}
	}
	cache.Print(os.Stdout)
}

// formatNames are the number formats, those of most weights first.
func (in *inspection) formatNames() []string {
	return slices.SortedFunc(maps.Keys(in.Formats), func(a, b string) int {
		return cmp.Or(cmp.Compare(in.Formats[b], in.Formats[a]), strings.Compare(a, b))
	})
}

// formats are the number formats with their shares of the weights.
func (in *inspection) formats() []string {
	names := in.formatNames()
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %.1f %%", name, 100*float64(in.Formats[name])/float64(max(in.Parameters, 1)))
	}
	return names
}

func millions(n int64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%.2f B", float64(n)/1e9)
	}
	return fmt.Sprintf("%.2f M", float64(n)/1e6)
}
