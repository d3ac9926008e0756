// Package report is the form in which a machine tells what it is and what was run on it: one JSON file for each device, with a
// row for each run. `p2p test --report` writes it, docs/reports keeps it, tools/matrix makes docs/model-support.md of it.
//
// A report holds facts of a machine and of models, no names of people, hosts, folders or addresses. The package reads and
// writes; it measures nothing.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Version of the form. A reader refuses a newer one; fields are only added within one.
const Version = 1

// Report is one file.
type Report struct {
	Version  int      `json:"version"`
	Computer Computer `json:"computer"`
	Device   Device   `json:"device"`
	Runs     []Run    `json:"runs"` // sorted by Key
}

// Computer is the machine.
type Computer struct {
	System          string  `json:"system"` // "linux/amd64"
	CPU             string  `json:"cpu"`    // as the processor names itself
	Threads         int     `json:"threads"`
	MemoryBytes     int64   `json:"memory_bytes"`          // 0: unknown
	MemoryBandwidth float64 `json:"memory_bandwidth_gbps"` // of all threads together
}

// Device is where the model was computed: the CPU, or one adapter of the machine.
type Device struct {
	Backend           string `json:"backend"`                       // "cpu" or "webgpu"
	Name              string `json:"name"`                          // as the driver names it
	API               string `json:"api,omitempty"`                 // adapters: "vulkan", "metal", "d3d12"
	Kind              string `json:"kind,omitempty"`                // adapters: "discrete", "integrated", "software", "other"
	Driver            string `json:"driver,omitempty"`              // where the system tells
	BindingLimitBytes int64  `json:"binding_limit_bytes,omitempty"` // adapters: the largest storage binding
	BufferLimitBytes  int64  `json:"buffer_limit_bytes,omitempty"`  // adapters: the largest buffer
}

// Run is one artifact run on the device.
type Run struct {
	Artifact     string `json:"artifact"` // the manifest's modelId
	Family       string `json:"family"`   // model_type
	Digest       string `json:"digest"`
	Quantization string `json:"quantization"`
	Formats      string `json:"formats"` // number formats, those of most weights first: "Q4_K, Q6_K, F32"
	Parameters   int64  `json:"parameters"`
	Layers       int    `json:"layers"`
	Mode         string `json:"mode"` // [Alone], or "exact" or "fast" with the experts in a swarm
	Threads      int    `json:"threads,omitempty"`
	Build        string `json:"build"`
	Date         string `json:"date"` // 2006-01-02

	Check  *Check  `json:"check,omitempty"`  // nil: not compared with anything
	Memory *Memory `json:"memory,omitempty"` // nil: not measured
	Speed  *Speed  `json:"speed,omitempty"`  // nil: not measured
}

// Check compares the run with a reference.
type Check struct {
	Reference       string  `json:"reference"` // [OwnWeights], or the reference's folder and file
	Tokens          int     `json:"tokens"`    // of the input
	Chunk           int     `json:"chunk,omitempty"`
	OK              bool    `json:"ok"`
	Tolerance       float64 `json:"tolerance"`
	LogitsNMSE      float64 `json:"logits_nmse"`
	WorstHiddenNMSE float64 `json:"worst_hidden_nmse"`
	Top1Agreement   float64 `json:"top1_agreement"`
	RouterAgreement float64 `json:"router_agreement"`
	GreedyAgreed    int     `json:"greedy_agreed"`
	GreedyTotal     int     `json:"greedy_total"`
}

// Alone is the mode of a run whose experts were all on the device.
const Alone = "alone"

// OwnWeights is the reference of a run that was compared with the artifact's own weights decoded to float32.
const OwnWeights = "own weights in float32"

// Memory is what was reckoned and what was measured while the model ran, in bytes.
type Memory struct {
	Positions   int   `json:"positions"` // of the KV cache
	WeightBytes int64 `json:"weight_bytes"`
	CacheBytes  int64 `json:"kv_cache_bytes"`
	DevicePeak  int64 `json:"device_peak_bytes"`            // most that the device had given out
	ProcessPeak int64 `json:"process_peak_bytes,omitempty"` // largest resident size of the process; 0: unknown
}

// Speed is measured over the reference's tokens: few, so it is a hint; `p2p bench` measures properly.
type Speed struct {
	PromptTokens     int     `json:"prompt_tokens"`
	DecodeTokens     int     `json:"decode_tokens"`
	PrefillPerSecond float64 `json:"prefill_tokens_per_second"`
	DecodePerSecond  float64 `json:"decode_tokens_per_second"`
}

// Key tells runs apart: a run replaces the one of the same key in its file. The digest is no part of it, so that a model that
// was converted again takes its old place.
func (r Run) Key() string {
	reference, chunk := "", 0
	if r.Check != nil {
		reference, chunk = r.Check.Reference, r.Check.Chunk
	}
	return fmt.Sprintf("%s\x00%015d\x00%s\x00%s\x00%s\x00%06d", r.Artifact, r.Parameters, r.Quantization, r.Mode, reference, chunk)
}

// maxBytes bounds a file: thousands of runs.
const maxBytes = 8 << 20

// Read reads a file and checks it.
func Read(path string) (*Report, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("report %s: %d bytes, at most %d are read", path, info.Size(), maxBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", path, err)
	}
	return r, nil
}

// Parse reads a report and checks it: what the matrix prints must be there and be printable.
func Parse(data []byte) (*Report, error) {
	r := &Report{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	if r.Version < 1 || r.Version > Version {
		return nil, fmt.Errorf("version %d, this program reads up to %d", r.Version, Version)
	}
	var errs []error
	text := func(where, value string, wanted bool) {
		if value == "" && wanted || len(value) > 200 || strings.ContainsFunc(value, unprintable) {
			errs = append(errs, fmt.Errorf("%s is %.40q: want 1 to 200 characters, none of them a control character or | ` < >", where, value))
		}
	}
	text("computer.system", r.Computer.System, true)
	text("computer.cpu", r.Computer.CPU, false)
	text("device.backend", r.Device.Backend, true)
	text("device.name", r.Device.Name, true)
	text("device.api", r.Device.API, false)
	text("device.kind", r.Device.Kind, false)
	text("device.driver", r.Device.Driver, false)
	for i, run := range r.Runs {
		at := fmt.Sprintf("runs[%d].", i)
		text(at+"artifact", run.Artifact, true)
		text(at+"family", run.Family, true)
		text(at+"quantization", run.Quantization, true)
		text(at+"formats", run.Formats, false)
		text(at+"mode", run.Mode, false)
		text(at+"build", run.Build, false)
		if run.Check != nil {
			text(at+"check.reference", run.Check.Reference, true)
		}
		if run.Parameters <= 0 {
			errs = append(errs, fmt.Errorf("%sparameters is %d", at, run.Parameters))
		}
		if _, err := time.Parse(time.DateOnly, run.Date); err != nil {
			errs = append(errs, fmt.Errorf("%sdate: %w", at, err))
		}
	}
	return r, errors.Join(errs...)
}

// unprintable tells what would break a Markdown table.
func unprintable(c rune) bool { return c < ' ' || strings.ContainsRune("|`<>", c) }

// Fits reports an error if the file is there and is about another machine or device, or cannot be read.
func Fits(path string, computer Computer, device Device) error {
	r, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = r.fits(path, computer, device)
	}
	return err
}

func (r *Report) fits(path string, computer Computer, device Device) error {
	// Memory and its speed are measured, and differ a little from one time to the next.
	if r.Device != device || r.Computer.System != computer.System || r.Computer.CPU != computer.CPU {
		return fmt.Errorf("report %s is about %s of %s, this is %s of %s: name another file", path, r.Device.Name, r.Computer.name(), device.Name, computer.name())
	}
	return nil
}

func (c Computer) name() string { return fmt.Sprintf("a %s computer with %s", c.System, c.CPU) }

// Add puts a run into the file, which is made if it is not there. A file of another machine or device is an error. Of the
// memory's speed the file keeps the best that was measured: other programs only take away from it.
func Add(path string, computer Computer, device Device, run Run) error {
	r, err := Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r = &Report{Version: Version, Computer: computer, Device: device}
	case err != nil:
		return err
	default:
		if err := r.fits(path, computer, device); err != nil {
			return err
		}
		r.Computer.MemoryBandwidth = max(r.Computer.MemoryBandwidth, computer.MemoryBandwidth)
	}
	r.Runs = slices.DeleteFunc(r.Runs, func(old Run) bool { return old.Key() == run.Key() })
	r.Runs = append(r.Runs, run)
	slices.SortFunc(r.Runs, func(a, b Run) int { return strings.Compare(a.Key(), b.Key()) })
	return write(path, r)
}

// write replaces the file, with one line for each run, so that a change of one run is a change of one line.
func write(path string, r *Report) error {
	var out bytes.Buffer
	out.WriteString("{")
	line := func(name string, value any) error {
		data, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("report %s: %s: %w", path, name, err)
		}
		fmt.Fprintf(&out, "\n%q: %s,", name, data)
		return nil
	}
	if err := errors.Join(line("version", r.Version), line("computer", r.Computer), line("device", r.Device)); err != nil {
		return err
	}
	out.WriteString("\n\"runs\": [")
	for i, run := range r.Runs {
		data, err := json.Marshal(run)
		if err != nil {
			return fmt.Errorf("report %s: %w", path, err)
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n" + string(data))
	}
	out.WriteString("\n]\n}\n")
	if _, err := Parse(out.Bytes()); err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = temporary.Write(out.Bytes())
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return fmt.Errorf("report %s: %w", path, err)
	}
	return nil
}
