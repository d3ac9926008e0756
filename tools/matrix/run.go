package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"shoal/internal/report"
)

// shape is a synthetic model of real width that --shapes runs.
type shape struct {
	arch            string
	layers, experts int
	quantize        string
	bench           bool // only measured: decoded to float32 for a comparison it would take over 6 GB
}

var shapes = []shape{
	{"llama-3.2-1b", 16, 0, "q4_k_m", false},
	{"qwen3-30b-a3b", 1, 0, "q4_k_m", false},
	{"gpt-oss-20b", 1, 4, "none", false},
	{"phi-mini-moe", 1, 4, "q4_0", false},
	{"phi-mini-moe", 1, 4, "q5_k", false},
	{"phi-mini-moe", 1, 4, "q6_k", false},
	{"phi-mini-moe", 1, 4, "f16", false},
	{"kimi-k2", 2, 8, "none", true},
	{"mixtral-8x7b", 1, 0, "q4_k_m", true},
}

// bench runs the command p2p on one device after another.
type bench struct {
	program string // p2p
	folder  string // for artifacts
	only    []string
	targets []target
	failed  []string
}

// target is a device and the file of its report.
type target struct{ flag, file string }

// run makes the reports of this machine.
func (c *command) run(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "matrix-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b := &bench{program: filepath.Join(folder, "p2p"), folder: folder, only: c.Names}
	if out, err := exec.CommandContext(ctx, "go", "build", "-buildvcs=auto", "-o", b.program, "./cmd/p2p").CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/p2p: %w\n%s", err, out)
	}
	if b.targets, err = b.devices(ctx, c.Device); err != nil {
		return err
	}
	if err := os.MkdirAll(reportsDir, 0o755); err != nil {
		return err
	}
	if err := b.fixtures(ctx); err != nil {
		return err
	}
	if err := b.gguf(ctx); err != nil {
		return err
	}
	if c.Shapes {
		if err := b.shapes(ctx); err != nil {
			return err
		}
	}
	c.failed = b.failed
	return nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// devices asks p2p what there is, and names a report for each device: by CPU, or by adapter and CPU.
func (b *bench) devices(ctx context.Context, flags []string) ([]target, error) {
	out, err := exec.CommandContext(ctx, b.program, "gpu-info", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("p2p gpu-info: %w", err)
	}
	var info struct {
		Computer report.Computer
		Adapters []report.Device
		GPU      string
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return nil, fmt.Errorf("p2p gpu-info: %w", err)
	}
	name := func(parts ...string) string {
		slug := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(strings.Join(parts, " ")), "-"), "-")
		return filepath.Join(reportsDir, slug[:min(len(slug), 80)]+".json")
	}
	var targets []target
	if slices.Contains(flags, "cpu") {
		targets = append(targets, target{"cpu", name("cpu", info.Computer.CPU, strings.ReplaceAll(info.Computer.System, "/", " "))})
	}
	adapter, opened := strings.CutPrefix(info.GPU, "webgpu: ")
	switch {
	case !slices.Contains(flags, "gpu"):
	case opened:
		targets = append(targets, target{"gpu", name("gpu", adapter, "with", info.Computer.CPU, strings.ReplaceAll(info.Computer.System, "/", " "))})
	default:
		fmt.Fprintf(os.Stderr, "no adapter: %s\n", info.GPU)
	}
	return targets, nil
}

// wanted tells whether a name was asked for.
func (b *bench) wanted(name string) bool {
	return len(b.only) == 0 || slices.ContainsFunc(b.only, func(part string) bool { return strings.Contains(name, part) })
}

// fixtures runs each checkpoint folder as it is stored and recoded: against its reference, and against its own weights.
func (b *bench) fixtures(ctx context.Context) error {
	own, err := filepath.Glob("testdata/fixtures-small/*/config.json")
	if err != nil || len(own) == 0 {
		return fmt.Errorf("no fixtures in testdata/fixtures-small: %v", err)
	}
	larger, _ := filepath.Glob("../shared/fixtures/*/config.json")
	for _, config := range slices.Concat(own, larger) {
		dir := filepath.Dir(config)
		if !b.wanted(filepath.Base(dir)) {
			continue
		}
		reference := filepath.Join(dir, "reference.safetensors")
		for _, quantize := range []string{"none", "q8_0", "q4_k_m"} {
			artifact, err := b.make(ctx, "convert", "--input", dir, "--quantize", quantize)
			if err != nil {
				return err
			}
			lossy := quantize != "none"
			if err := b.test(ctx, artifact, lossy, "--reference", reference); err != nil {
				return err
			}
			if !lossy {
				continue
			}
			if err := b.test(ctx, artifact, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// gguf runs the GGUF files that lie beside the repository against what llama.cpp computed from them.
func (b *bench) gguf(ctx context.Context) error {
	files, _ := filepath.Glob("../shared/gguf/*.gguf")
	for _, file := range files {
		if !b.wanted(filepath.Base(file)) {
			continue
		}
		artifact, err := b.make(ctx, "convert", "--input", file, "--quantize", "none")
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".gguf")
		_, lossy := explained[name] // its reference rounds
		if err := b.test(ctx, artifact, lossy, "--reference", strings.TrimSuffix(file, ".gguf")+".reference.safetensors"); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) shapes(ctx context.Context) error {
	for _, s := range shapes {
		if !b.wanted(s.arch) {
			continue
		}
		artifact, err := b.make(ctx, "synth", "--arch", s.arch, "--layers", fmt.Sprint(s.layers), "--experts", fmt.Sprint(s.experts), "--quantize", s.quantize)
		if err != nil {
			return err
		}
		if s.bench {
			err = b.measure(ctx, artifact)
		} else {
			err = b.test(ctx, artifact, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// measure runs p2p bench on every device.
func (b *bench) measure(ctx context.Context, artifact string) error {
	for _, t := range b.targets {
		all := []string{"bench", "--model", artifact, "--device", t.flag, "--report", t.file, "--prompt-tokens", "64", "--tokens", "8", "--runs", "1"}
		out, err := exec.CommandContext(ctx, b.program, all...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("p2p %s: %w\n%s", strings.Join(all, " "), err, out)
		}
		fmt.Printf("%s", out)
	}
	return nil
}

// make runs a command of p2p that writes an artifact, always to the same folder: one at a time is on disk.
func (b *bench) make(ctx context.Context, args ...string) (string, error) {
	artifact := filepath.Join(b.folder, "artifact")
	out, err := exec.CommandContext(ctx, b.program, append(args, "--output", artifact, "--replace")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("p2p %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	fmt.Println("p2p", strings.Join(args, " "))
	return artifact, nil
}

// test runs p2p test on every device. A comparison is lossy if it cannot be within the tolerance: of a recoded model with its
// original, or with a reference that rounds.
func (b *bench) test(ctx context.Context, artifact string, lossy bool, args ...string) error {
	for _, t := range b.targets {
		all := append([]string{"test", "--model", artifact, "--device", t.flag, "--report", t.file, "--json"}, args...)
		test := exec.CommandContext(ctx, b.program, all...)
		var stderr bytes.Buffer
		test.Stderr = &stderr
		out, err := test.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return fmt.Errorf("p2p test: %w", err)
		}
		var result struct {
			OK    bool    `json:"ok"`
			NMSE  float64 `json:"logits_nmse"`
			Worst float64 `json:"worst_hidden_nmse"`
		}
		if json.Unmarshal(out, &result) != nil { // it did not come as far as a comparison
			return fmt.Errorf("p2p %s: %v\n%s", strings.Join(all, " "), err, stderr.Bytes())
		}
		verdict := "within the tolerance"
		switch {
		case lossy:
			verdict = "not the same weights or arithmetic"
		case !result.OK:
			verdict = "OUT OF TOLERANCE"
			b.failed = append(b.failed, strings.Join(all, " "))
		}
		fmt.Printf("  %s: logits %.1e, hidden %.1e, %s\n", t.flag, result.NMSE, result.Worst, verdict)
	}
	return nil
}
