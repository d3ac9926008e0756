package convert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// Options say what to convert and how.
type Options struct {
	Input    string          // a folder as [OpenHub] takes it; with a Source, where that comes from, if it is a file or folder
	Source   Source          // nil: the folder Input. Run does not close it
	Output   string          // the artifact's folder; it must not exist, or be empty, unless Replace
	Replace  bool            // put the new artifact in the place of one that is there
	Quantize string          // a [Scheme]
	ModelID  string          // for people; "": the name of Input without .gguf
	Config   json.RawMessage // nil: the source's own
	// Tensors is what the architecture expects; MoE its experts, nil if it has none.
	Tensors  []rdrr.TensorSpec
	MoE      *rdrr.MoE
	Progress func(Progress) // may be nil
}

// Progress says how far a conversion has come.
type Progress struct {
	Tensor      string // the tensor just written
	Done, Total int64  // weights
}

// Report says what was written.
type Report struct {
	Digest     rdrr.Digest
	Tensors    int
	Parameters int64
	Bytes      int64                // of the weights as stored
	Types      map[quant.Type]int64 // weights per format
	Skipped    []string             // tensors of the checkpoint that the model does not use, by their canonical names
}

// BitsPerWeight is the mean size of a weight as stored.
func (r Report) BitsPerWeight() float64 { return 8 * float64(r.Bytes) / float64(max(r.Parameters, 1)) }

// Run converts a checkpoint to an artifact. When it returns an error, ctx's included, nothing of the artifact is left.
func Run(ctx context.Context, o Options) (Report, error) {
	report, err := run(ctx, o)
	if err != nil {
		return Report{}, fmt.Errorf("convert %s: %w", o.name(), err)
	}
	return report, nil
}

func (o Options) name() string { return cmp.Or(o.Input, o.ModelID, "model") }

func run(ctx context.Context, o Options) (Report, error) {
	scheme, err := ParseScheme(o.Quantize)
	if err != nil {
		return Report{}, err
	}
	if len(o.Tensors) == 0 {
		return Report{}, errors.New("the architecture names no tensors")
	}
	if o.Input != "" {
		if err := apart(o.Input, o.Output); err != nil {
			return Report{}, err
		}
	}
	if o.Source == nil {
		if o.Source, err = OpenHub(o.Input, o.MoE); err != nil {
			return Report{}, err
		}
		defer o.Source.Close()
	}
	if o.Config == nil {
		o.Config = o.Source.Config()
	}
	plan := NewPlan(scheme, o.Tensors)
	jobs, skipped, err := match(o.Source.Tensors(), o.Tensors, o.Config)
	if err != nil {
		return Report{}, err
	}
	w, err := rdrr.Create(o.Output, o.header(scheme, plan, jobs), rdrr.WriterOptions{Replace: o.Replace})
	if err != nil {
		return Report{}, err
	}
	defer w.Abort()
	report := Report{Types: map[quant.Type]int64{}, Skipped: skipped}
	total := int64(0)
	for _, j := range jobs {
		total += j.weights()
	}
	for _, j := range jobs {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		t, err := j.tensor(ctx, plan)
		if err != nil {
			return Report{}, err
		}
		if err := w.Add(t); err != nil {
			return Report{}, err
		}
		if j.stored.Done != nil {
			j.stored.Done()
		}
		report.Tensors++
		report.Parameters += j.weights()
		report.Bytes += int64(len(t.Data))
		report.Types[t.Type] += j.weights()
		if o.Progress != nil {
			o.Progress(Progress{Tensor: t.Name, Done: report.Parameters, Total: total})
		}
	}
	files, err := o.Source.Files()
	if err != nil {
		return Report{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.AddFile(name, files[name]); err != nil {
			return Report{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	report.Digest, err = w.Commit()
	return report, err
}

// apart refuses an output that is the input or a folder around it: replacing it would remove the checkpoint.
func apart(input, output string) error {
	in, err1 := filepath.Abs(input)
	out, err2 := filepath.Abs(output)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(in); err == nil {
		in = real
	}
	if real, err := filepath.EvalSymlinks(out); err == nil {
		out = real
	}
	if rel, err := filepath.Rel(out, in); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fmt.Errorf("output %s is or contains the input; name another folder", output)
	}
	return nil
}

func (o Options) header(scheme Scheme, plan Plan, jobs []job) rdrr.Header {
	var c struct {
		ModelType string `json:"model_type"`
	}
	_ = json.Unmarshal(o.Config, &c) // the caller understood the configuration, or there would be no Tensors
	id := o.ModelID
	if id == "" {
		abs, err := filepath.Abs(o.Input)
		if err != nil {
			abs = o.Input
		}
		id = strings.TrimSuffix(filepath.Base(abs), ".gguf")
	}
	name := strings.ToUpper(string(scheme))
	if scheme == None {
		name = mostWeights(plan, jobs).String()
	}
	return rdrr.Header{ModelID: id, ModelType: cmp.Or(c.ModelType, "transformer"), Quantization: name, Config: o.Config, MoE: o.MoE}
}

func mostWeights(plan Plan, jobs []job) quant.Type {
	weights := map[quant.Type]int64{}
	for _, j := range jobs {
		weights[plan.Type(j.spec, j.stored.Type)] += j.weights()
	}
	best := quant.F32
	for _, t := range quant.Types() {
		if weights[t] > weights[best] {
			best = t
		}
	}
	return best
}
