package convert

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"shoal/rdrr"
	"shoal/rdrr/convert/gguf"
	"shoal/rdrr/quant"
)

// GGUFOptions say what to write as a GGUF file and how.
type GGUFOptions struct {
	Model    *rdrr.Model
	Output   string // the file; it must not exist, unless Replace
	Replace  bool
	Quantize string // a [Scheme]; "": none
	// Architecture, Keys and RopeFactors are the model in GGUF's terms, Keys without the architecture's name in front, and
	// Tensors is what the architecture expects.
	Architecture string
	Keys         map[string]any
	RopeFactors  []float32
	Tensors      []rdrr.TensorSpec
	Progress     func(Progress) // may be nil
}

// GGUFReport says what was written.
type GGUFReport struct {
	Tensors    int // of the file, in which a layer's experts are merged
	Parameters int64
	Bytes      int64
	Types      map[quant.Type]int64 // weights per format
	// Recoded names, for each format that GGUF cannot hold and the one written in its place, the first such tensor.
	Recoded map[string]string
	// Warnings say what the file lacks.
	Warnings []string
}

// ggufJob is a tensor of the file to be written.
type ggufJob struct {
	gguf.Tensor
	parts []rdrr.TensorSpec // the canonical tensors of which it is made: one, or those of a layer's experts in order
}

// ExportGGUF writes an artifact as a GGUF file of version 3, one tensor at a time. The file appears under its name when it is
// complete. Weights keep their formats but for what GGUF cannot hold: see docs/rdrr-format.md.
func ExportGGUF(ctx context.Context, o GGUFOptions) (GGUFReport, error) {
	report, err := exportGGUF(ctx, o)
	if err != nil {
		return GGUFReport{}, fmt.Errorf("write %s: %w", o.Output, err)
	}
	return report, nil
}

func exportGGUF(ctx context.Context, o GGUFOptions) (GGUFReport, error) {
	e := &exporter{o: o, report: GGUFReport{Types: map[quant.Type]int64{}, Recoded: map[string]string{}}}
	if err := e.plan(); err != nil {
		return GGUFReport{}, err
	}
	if _, err := os.Stat(o.Output); err == nil && !o.Replace {
		return GGUFReport{}, errors.New("the file exists; name another or ask to replace it")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return GGUFReport{}, err
	}
	f, err := os.CreateTemp(filepath.Dir(o.Output), filepath.Base(o.Output)+".partial-*")
	if err != nil {
		return GGUFReport{}, err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	if err := e.write(ctx, f); err != nil {
		f.Close()
		return GGUFReport{}, err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return GGUFReport{}, err
	}
	return e.report, os.Rename(f.Name(), o.Output)
}

type exporter struct {
	o      GGUFOptions
	family ggufFamily
	meta   *gguf.Metadata
	jobs   []ggufJob
	report GGUFReport
	total  int64 // weights
}

// plan decides names, formats and metadata.
func (e *exporter) plan() error {
	o := e.o
	var ok bool
	if e.family, ok = ggufFamilies[o.Architecture]; !ok {
		return fmt.Errorf("GGUF architecture %q is not supported: want %s", o.Architecture, ggufArchitectures())
	}
	scheme := None
	if o.Quantize != "" {
		var err error
		if scheme, err = ParseScheme(o.Quantize); err != nil {
			return err
		}
	}
	plan := NewPlan(scheme, o.Tensors)
	specs := slices.Clone(o.Tensors)
	slices.SortStableFunc(specs, func(a, b rdrr.TensorSpec) int { return compareOrder(a, b) })
	at := map[string]int{}
	for _, spec := range specs {
		entry, found := o.Model.Manifest().Tensor(spec.Name)
		switch {
		case !found && spec.Optional:
			continue
		case !found:
			return fmt.Errorf("the artifact has no tensor %s", spec.Name)
		case !slices.Equal(entry.Shape, spec.Shape):
			return fmt.Errorf("tensor %s has shape %v, the configuration asks for %v", spec.Name, entry.Shape, spec.Shape)
		}
		name, err := e.family.gguf(spec.Name)
		if err != nil {
			return err
		}
		e.total += elements(spec.Shape)
		if i, ok := at[name]; ok {
			e.jobs[i].parts = append(e.jobs[i].parts, spec)
			continue
		}
		at[name] = len(e.jobs)
		e.jobs = append(e.jobs, ggufJob{gguf.Tensor{Name: name, Type: e.holdable(spec, plan.Type(spec, entry.Type)), Shape: spec.Shape}, []rdrr.TensorSpec{spec}})
	}
	for i := range e.jobs {
		j := &e.jobs[i]
		if j.parts[0].Expert >= 0 {
			j.Shape = append([]int{len(j.parts)}, j.Shape...)
		} else if len(j.Shape) == 2 && hasSuffixAny(j.Name, "ffn_gate_inp_shexp.weight") {
			j.Shape = j.Shape[1:]
		}
	}
	if o.RopeFactors != nil {
		e.jobs = append(e.jobs, ggufJob{Tensor: gguf.Tensor{Name: "rope_freqs.weight", Type: quant.F32, Shape: []int{len(o.RopeFactors)}}})
	}
	return e.metadata()
}

func elements(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return n
}

// holdable returns the format in which the file holds a tensor that the plan stores as t. llama.cpp wants norms, routers and
// vectors as F32. GGUF has no FP8, which becomes BF16: its weights have four significant bits times a scale. GGUF pads no rows:
// formats whose blocks do not fit the row become Q8_0, or F16 where its blocks do not fit either.
func (e *exporter) holdable(spec rdrr.TensorSpec, t quant.Type) quant.Type {
	if !quantisable(spec) {
		return quant.F32
	}
	_, known := gguf.TypeOf(t)
	cols := spec.Shape[len(spec.Shape)-1]
	if known && cols%t.BlockSize() == 0 {
		return t
	}
	to, what := quant.F16, fmt.Sprintf("%s with rows of %d weights", t, cols)
	switch {
	case !known:
		to, what = quant.BF16, t.String()
	case cols%quant.Q8_0.BlockSize() == 0:
		to = quant.Q8_0
	}
	if _, ok := e.report.Recoded[what]; !ok {
		e.report.Recoded[what] = fmt.Sprintf("%s (%s)", to, spec.Name)
	}
	return to
}

func (e *exporter) write(ctx context.Context, f *os.File) error {
	buffered := bufio.NewWriterSize(f, 1<<20)
	tensors := make([]gguf.Tensor, len(e.jobs))
	for i, j := range e.jobs {
		tensors[i] = j.Tensor
	}
	w, err := gguf.NewWriter(buffered, e.meta, tensors)
	if err != nil {
		return err
	}
	for _, j := range e.jobs {
		if err := w.Tensor(j.Name, &ggufData{ctx: ctx, e: e, job: j}); err != nil {
			return err
		}
		e.report.Tensors++
		e.report.Types[j.Type] += elements(j.Shape)
	}
	e.report.Bytes = w.Size()
	return errors.Join(w.Close(), buffered.Flush())
}

// ggufData reads the rows of a tensor of the file; it holds one canonical tensor at a time.
type ggufData struct {
	ctx  context.Context
	e    *exporter
	job  ggufJob
	next int
	rows bytes.Reader
}

func (d *ggufData) Read(p []byte) (int, error) {
	for d.rows.Len() == 0 {
		if err := d.ctx.Err(); err != nil {
			return 0, err
		}
		b, err := d.load()
		if err != nil {
			return 0, err
		}
		d.rows.Reset(b)
	}
	return d.rows.Read(p)
}

// load returns the rows of the next canonical tensor.
func (d *ggufData) load() ([]byte, error) {
	e := d.e
	if d.job.parts == nil && d.next == 0 {
		d.next++
		return shifted(e.o.RopeFactors, 0), nil
	}
	if d.next >= len(d.job.parts) {
		return nil, io.EOF
	}
	spec := d.job.parts[d.next]
	d.next++
	t, err := e.o.Model.Tensor(spec.Name)
	if err != nil {
		return nil, err
	}
	b, err := e.rows(d.ctx, t, d.job.Type)
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", spec.Name, err)
	}
	e.report.Parameters += elements(spec.Shape)
	if e.o.Progress != nil {
		e.o.Progress(Progress{Tensor: d.job.Name, Done: e.report.Parameters, Total: e.total})
	}
	return b, nil
}

// rows gives a canonical tensor the format and the form that the file has it in.
func (e *exporter) rows(ctx context.Context, t *rdrr.Tensor, to quant.Type) ([]byte, error) {
	if e.family.plusOne && hasSuffixAny(t.Name, "norm.weight") {
		w, err := t.Floats()
		if err != nil {
			return nil, err
		}
		return shifted(w, 1), nil
	}
	b, err := recode(ctx, to, t.Type, t.Data, t.Rows(), t.Cols())
	if err != nil || !e.family.permuted {
		return b, err
	}
	heads := ""
	switch {
	case hasSuffixAny(t.Name, "self_attn.q_proj.weight", "self_attn.q_proj.bias"):
		heads = "attention.head_count"
	case hasSuffixAny(t.Name, "self_attn.k_proj.weight", "self_attn.k_proj.bias"):
		heads = "attention.head_count_kv"
	default:
		return b, nil
	}
	n, _ := e.o.Keys[heads].(uint32)
	return reorderRows(b, t.Shape[0], int(n), true)
}
