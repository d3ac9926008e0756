package rdrr_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// entries lists a folder, "" if it does not exist.
func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestTrunkShards(t *testing.T) {
	dir, _ := writeArtifact(t, rdrr.WriterOptions{ShardBytes: 700})
	m := openArtifact(t, dir).Manifest()
	// embedding 0-340, norm 384-640 | router 0-256, norm 256-500 | the head would end at 852
	var got []int
	for _, x := range testTrunk() {
		entry, _ := m.Tensor(x.Name)
		got = append(got, entry.Spans[0].Shard)
		if entry.Spans[0].Offset%64 != 0 {
			t.Errorf("%s starts at %d", x.Name, entry.Spans[0].Offset)
		}
	}
	for i, want := range []int{0, 0, 1, 1, 2} {
		if got[i] != want {
			t.Fatalf("trunk tensors lie in shards %v", got)
		}
	}
}

func TestSameArtifactSameBytes(t *testing.T) {
	a, _ := writeArtifact(t, rdrr.WriterOptions{})
	b, _ := writeArtifact(t, rdrr.WriterOptions{})
	for _, name := range strings.Fields(entries(t, a)) {
		x, err1 := os.ReadFile(filepath.Join(a, name))
		y, err2 := os.ReadFile(filepath.Join(b, name))
		if err1 != nil || err2 != nil || string(x) != string(y) {
			t.Errorf("%s differs: %v, %v", name, err1, err2)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	expert := testExpert(1, 0)
	short := *expert[0]
	short.Data = short.Data[1:]
	router := testTensor("model.layers.1.mlp.gate.weight", quant.Q8_0, 2, hidden)
	for name, c := range map[string]struct {
		tensors []*rdrr.Tensor
		want    string
	}{
		"trunk after expert":    {append(testExpert(1, 0), testTrunk()[0]), "comes after an expert"},
		"expert in two pieces":  {append(testExpert(1, 0), append(testExpert(1, 1), expert...)...), "written twice"},
		"expert taken up again": {append(expert[:2:2], append(testExpert(1, 1), expert[2])...), "after another expert"},
		"wrong size":            {[]*rdrr.Tensor{&short}, "takes 2176"},
		"quantised router":      {[]*rdrr.Tensor{router}, "never quantised"},
		"half an expert":        {append(testTrunk(), expert[:2]...), "has no down_proj.weight"},
		"nothing":               {nil, "names no shards"},
		"experts missing":       {testTrunk(), "no tensor belongs to an expert"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			w, err := rdrr.Create(filepath.Join(parent, "toy"), testHeader(), rdrr.WriterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Abort()
			for _, x := range c.tensors {
				if err = w.Add(x); err != nil {
					break
				}
			}
			if err == nil {
				_, err = w.Commit()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			w.Abort()
			if got := entries(t, parent); got != "" {
				t.Errorf("left behind: %s", got)
			}
		})
	}
}

func TestDestination(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "toy")
	write := func(replace bool) error {
		w, err := rdrr.Create(dir, testHeader(), rdrr.WriterOptions{Replace: replace})
		if err != nil {
			return err
		}
		defer w.Abort()
		for _, x := range testTensors() {
			if err := w.Add(x); err != nil {
				return err
			}
		}
		_, err = w.Commit()
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := write(false); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
	if err := write(false); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over an artifact: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := write(true); err != nil {
		t.Errorf("in the place of an artifact: %v", err)
	}
	if got := entries(t, dir); got != "manifest.json shard_00000.bin shard_00001.bin shard_00002.bin" {
		t.Errorf("the folder has %s", got)
	}
	if err := os.Remove(filepath.Join(dir, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	if err := write(true); err == nil || !strings.Contains(err.Error(), "not replaced") {
		t.Errorf("in the place of a folder that is no artifact: %v", err)
	}
	if got := entries(t, parent); got != "toy" {
		t.Errorf("beside the artifact: %s", got)
	}
}
