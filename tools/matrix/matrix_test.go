package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/internal/report"
	"shoal/model"
)

const root = "../.."

// TestPageIsFresh compares the page in docs with what configurations and reports give.
func TestPageIsFresh(t *testing.T) {
	reports, err := readReports(filepath.Join(root, reportsDir))
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) == 0 {
		t.Error("no reports: the page would say nothing of any device")
	}
	want, err := page(reports)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, pagePath))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")))); diff != "" {
		t.Errorf("%s is not what go run ./tools/matrix writes (-wanted +there):\n%s", pagePath, diff)
	}
}

// TestEveryFamilyHasARow also checks that rows name fixtures that exist.
func TestEveryFamilyHasARow(t *testing.T) {
	families := map[string]bool{}
	for _, e := range entries {
		s, err := e.sizes()
		if err != nil {
			t.Error(err)
			continue
		}
		families[s.spec.Family] = true
		if len(e.Fixtures) == 0 {
			t.Errorf("%s has no fixture", e.Name)
		}
		for _, f := range e.Fixtures {
			if _, err := os.Stat(filepath.Join(root, "testdata/fixtures-small", f, "reference.safetensors")); err != nil {
				t.Errorf("%s: %v", e.Name, err)
			}
		}
	}
	for _, family := range model.Families() {
		if !families[family] {
			t.Errorf("architecture %s has no row", family)
		}
	}
}

// TestExtraConfigurations holds configs/ to the sizes that the models' authors state. rdrr/synth does the same with its own.
func TestExtraConfigurations(t *testing.T) {
	published := map[string][2]float64{ // parameters, active, 1e9
		"qwen3-8b":          {8.19, 8.19},
		"olmoe-1b-7b":       {6.92, 1.28},
		"qwen1.5-moe-a2.7b": {14.3, 2.7},
		"deepseek-v2-lite":  {15.7, 2.66},
		"deepseek-v3":       {671, 37.5},
		"glm-4.5-air":       {106.85, 13.3}, // without the layer that predicts a second token
	}
	for _, e := range entries {
		if e.builtIn() {
			continue
		}
		want, ok := published[e.Config]
		delete(published, e.Config)
		s, err := e.sizes()
		if err != nil || !ok {
			t.Errorf("%s: %v, size stated: %v", e.Config, err, ok)
			continue
		}
		for i, got := range []int64{s.figures.Parameters, s.figures.Active} {
			if x := float64(got) / 1e9; math.Abs(x-want[i]) > 0.01*want[i] {
				t.Errorf("%s: %.3fe9, want %.3fe9", e.Config, x, want[i])
			}
		}
	}
	for name := range published {
		t.Errorf("%s has no row", name)
	}
}

func check(reference string, ok bool, nmse float64) *report.Check {
	return &report.Check{Reference: reference, OK: ok, LogitsNMSE: nmse, RouterAgreement: 1, GreedyAgreed: 24, GreedyTotal: 24}
}

// device makes a report of runs of the GPT-OSS fixture.
func device(name string, runs ...report.Run) *report.Report {
	for i := range runs {
		r := &runs[i]
		r.Artifact, r.Family, r.Parameters, r.Mode, r.Date = "gpt-oss", "gpt_oss", 492912, report.Alone, "2026-11-24"
	}
	return &report.Report{Version: 1, Device: report.Device{Backend: "webgpu", Name: name}, Runs: runs}
}

func TestStatusComesFromReports(t *testing.T) {
	const reference = "fixtures-small/gpt-oss/reference.safetensors"
	good := device("good",
		report.Run{Quantization: "MXFP4", Formats: "MXFP4, BF16", Check: check(reference, true, 1e-12)},
		report.Run{Quantization: "Q4_K_M", Formats: "Q4_K", Check: check(reference, false, 3e-3)}, // what recoding loses
		report.Run{Quantization: "Q4_K_M", Formats: "Q4_K", Check: check(report.OwnWeights, true, 2e-12)},
	)
	bad := device("bad",
		report.Run{Quantization: "MXFP4", Formats: "MXFP4, BF16", Check: check(reference, false, 0.5)},
		report.Run{Quantization: "Q4_K_M", Formats: "Q4_K", Check: check(reference, false, 4e-3)},
	)
	text, err := page([]*report.Report{good, bad})
	if err != nil {
		t.Fatal(err)
	}
	line := func(parts ...string) string {
		for l := range strings.Lines(string(text)) {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(l, p) }) {
				return l
			}
		}
		t.Fatalf("no line with %q in\n%s", parts, text)
		return ""
	}
	for _, want := range []string{"| A within 1.0e-12, **fails on B** |", "| A within 2.0e-12 |", "| not run |"} {
		if l := line("| GPT-OSS 20B | gpt_oss |"); !strings.Contains(l, want) {
			t.Errorf("%q not in %s", want, l)
		}
	}
	if l := line("| gpt-oss |", "| Q4_K_M |", "| own weights |"); !strings.Contains(l, "| 4.0e-03 | 2.0e-12, 24/24 | – |") {
		t.Error(l)
	}
	if l := line("| gpt-oss |", "| MXFP4 |", "| transformers |"); !strings.Contains(l, "| 1.0e-12, 24/24 | **fails**: 5.0e-01, 24/24 |") {
		t.Error(l)
	}
	if l := line("| MXFP4 | 4.25 |"); !strings.Contains(l, "| 1: 1.0e-12 | **fails** |") {
		t.Error(l)
	}
	if l := line("| Llama 3.2 1B |", "| llama |"); !strings.Contains(l, "| not run | not run | not run |") {
		t.Error(l)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.00 kB", 12_345: "12.3 kB", 999_900: "1.00 MB", 1_060_000_000_000: "1.06 TB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{2: "2", 492_912: "493 k", 30_500_000_000: "30.5 B"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for i, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 53: "BB"} {
		if got := letter(i); got != want {
			t.Errorf("letter(%d) = %q, want %q", i, got, want)
		}
	}
}
