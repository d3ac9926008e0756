package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func run(artifact, quantization string, nmse float64) Run {
	return Run{
		Artifact: artifact, Family: "qwen3_moe", Quantization: quantization, Parameters: 1000, Mode: Alone, Date: "2026-11-24",
		Check: &Check{Reference: OwnWeights, LogitsNMSE: nmse},
	}
}

func TestAdd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	computer := Computer{System: "linux/amd64", CPU: "abacus", MemoryBandwidth: 1}
	device := Device{Backend: "cpu", Name: "abacus"}
	add := func(r Run) {
		t.Helper()
		if err := Add(path, computer, device, r); err != nil {
			t.Fatal(err)
		}
		computer.MemoryBandwidth /= 2 // measured again each time; the file keeps the best
	}
	add(run("b", "BF16", 1))
	add(run("a", "Q8_0", 2))
	add(run("b", "BF16", 3)) // replaces the first
	other := run("b", "BF16", 4)
	other.Parameters = 2000 // another model of the same name
	add(other)
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	computer.MemoryBandwidth = 1
	want := &Report{Version: Version, Computer: computer, Device: device, Runs: []Run{run("a", "Q8_0", 2), run("b", "BF16", 3), other}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines != 3+3+4 {
		t.Errorf("%d lines, want one for each run:\n%s", lines, text)
	}

	for name, d := range map[string]Device{"device": {Backend: "webgpu", Name: "abacus"}, "name": {Backend: "cpu", Name: "slide rule"}} {
		if err := Add(path, computer, d, run("a", "Q8_0", 2)); err == nil || !strings.Contains(err.Error(), "name another file") {
			t.Errorf("another %s: error %v", name, err)
		}
		if err := Fits(path, computer, d); err == nil {
			t.Errorf("another %s fits", name)
		}
	}
	if err := Fits(path, computer, device); err != nil {
		t.Error(err)
	}
	if err := Fits(path+".new", computer, device); err != nil {
		t.Errorf("a new file: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(text) {
		t.Errorf("a refused run changed the file: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	const head = `{"version":1,"computer":{"system":"linux/amd64"},"device":{"backend":"cpu","name":"abacus"},"runs":[`
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":        {"report", "invalid"},
		"newer":          {`{"version":2}`, "version 2"},
		"no version":     {`{}`, "version 0"},
		"no device":      {`{"version":1,"computer":{"system":"linux/amd64"},"device":{"backend":"cpu"},"runs":[]}`, "device.name"},
		"no artifact":    {head + `{"family":"llama","quantization":"F32","parameters":1,"date":"2026-01-01"}]}`, "runs[0].artifact"},
		"no parameters":  {head + `{"artifact":"a","family":"llama","quantization":"F32","date":"2026-01-01"}]}`, "runs[0].parameters"},
		"no date":        {head + `{"artifact":"a","family":"llama","quantization":"F32","parameters":1,"date":"today"}]}`, "runs[0].date"},
		"breaks a table": {head + `{"artifact":"a|b","family":"llama","quantization":"F32","parameters":1,"date":"2026-01-01"}]}`, "runs[0].artifact"},
		"breaks a line":  {head + `{"artifact":"a\nb","family":"llama","quantization":"F32","parameters":1,"date":"2026-01-01"}]}`, "runs[0].artifact"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
	}
	if _, err := Parse([]byte(head + `{"artifact":"a","family":"llama","quantization":"F32","parameters":1,"date":"2026-01-01","later":1}]}`)); err != nil {
		t.Errorf("a field that is not known: %v", err)
	}
}
