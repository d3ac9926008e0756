package rdrr_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/rdrr"
)

func TestRoundTrip(t *testing.T) {
	for _, algorithm := range []rdrr.Algorithm{rdrr.SHA256, rdrr.BLAKE3} {
		dir, digest := writeArtifact(t, rdrr.WriterOptions{Algorithm: algorithm})
		mapped := openArtifact(t, dir)
		read, err := rdrr.Open(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		for how, m := range map[string]*rdrr.Model{"mapped": mapped, "read": read} {
			if m.Digest() != digest {
				t.Errorf("%s: digest %s, the writer says %s", how, m.Digest(), digest)
			}
			if d := cmp.Diff(testMoE(), m.MoE()); d != "" {
				t.Errorf("%s: moe: %s", how, d)
			}
			for _, want := range testTensors() {
				got, err := m.Tensor(want.Name)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: tensor %s: %s", how, want.Name, d)
				}
			}
			if b, err := m.File("tokenizer.json"); err != nil || string(b) != `{"model": {}}` {
				t.Errorf("%s: tokenizer.json is %q, %v", how, b, err)
			}
			if _, err := m.File("generation_config.json"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: a file that is not there gives %v", how, err)
			}
			if err := m.VerifyAll(context.Background(), nil); err != nil {
				t.Errorf("%s: %v", how, err)
			}
		}
	}
}

func TestFloats(t *testing.T) {
	dir, _ := writeArtifact(t, rdrr.WriterOptions{})
	norm, err := openArtifact(t, dir).Tensor("model.layers.0.input_layernorm.weight")
	if err != nil {
		t.Fatal(err)
	}
	values, err := norm.Floats()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if want := le32(norm.Row(0)[4*i:]); v != want {
			t.Fatalf("value %d is %v, want %v", i, v, want)
		}
	}
	if norm.Rows() != 1 || norm.Cols() != hidden {
		t.Errorf("a vector is %d rows of %d, want 1 of %d", norm.Rows(), norm.Cols(), hidden)
	}
}

// Every expert has a shard to itself, so that a machine that runs one expert needs only that file and the manifest.
func TestExpertAlone(t *testing.T) {
	dir, _ := writeArtifact(t, rdrr.WriterOptions{})
	m := openArtifact(t, dir)
	shards := m.Manifest().ExpertShards(1, 1)
	if len(shards) != 1 {
		t.Fatalf("expert 1 lies in shards %v, want one", shards)
	}
	for i, s := range m.Manifest().Shards {
		if i != shards[0] {
			os.Remove(filepath.Join(dir, s.File))
		}
	}
	e, err := m.Expert(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := testExpert(1, 1)
	if d := cmp.Diff(&rdrr.Expert{Gate: want[0], Up: want[1], Down: want[2]}, e); d != "" {
		t.Error(d)
	}
	if got := e.Bytes(); got != m.Manifest().Shards[shards[0]].Size {
		t.Errorf("expert takes %d bytes, its shard has %d", got, m.Manifest().Shards[shards[0]].Size)
	}
	if _, err := m.Expert(1, 0); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "layer 1 expert 0") {
		t.Errorf("an expert whose shard is missing gives %v", err)
	}
	if _, err := m.Expert(1, 2); err == nil || !strings.Contains(err.Error(), "no layer 1 expert 2") {
		t.Errorf("an expert that does not exist gives %v", err)
	}
}

func TestDamage(t *testing.T) {
	shard := func(dir string) string { return filepath.Join(dir, "shard_00001.bin") } // layer 1 expert 0
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		want   string
	}{
		"flipped byte": {func(t *testing.T, dir string) { flipByte(t, shard(dir), 100) }, "shard_00001.bin is damaged"},
		"truncated": {func(t *testing.T, dir string) {
			if err := os.Truncate(shard(dir), 1000); err != nil {
				t.Fatal(err)
			}
		}, "shard_00001.bin has 1000 bytes"},
		"missing": {func(t *testing.T, dir string) { os.Remove(shard(dir)) }, "shard_00001.bin is missing"},
		"link to outside": {func(t *testing.T, dir string) {
			outside := filepath.Join(t.TempDir(), "outside.bin")
			if err := os.Rename(shard(dir), outside); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, shard(dir)); err != nil {
				t.Skip(err)
			}
		}, "escapes"},
		"folder in its place": {func(t *testing.T, dir string) {
			os.Remove(shard(dir))
			if err := os.Mkdir(shard(dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := writeArtifact(t, rdrr.WriterOptions{})
			c.damage(t, dir)
			m := openArtifact(t, dir)
			if _, err := m.Tensor("lm_head.weight"); err != nil {
				t.Errorf("a tensor of a sound shard gives %v", err)
			}
			for range 2 { // the second time as the first
				if _, err := m.Expert(1, 0); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "layer 1 expert 0") {
					t.Errorf("got %v, want %q", err, c.want)
				}
			}
			if err := m.VerifyAll(context.Background(), nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("VerifyAll says %v, want %q", err, c.want)
			}
		})
	}
}

func TestVerifyAllNamesEveryBadFile(t *testing.T) {
	dir, _ := writeArtifact(t, rdrr.WriterOptions{})
	flipByte(t, filepath.Join(dir, "shard_00000.bin"), 5)
	flipByte(t, filepath.Join(dir, "shard_00002.bin"), 5)
	flipByte(t, filepath.Join(dir, "tokenizer.json"), 3)
	m := openArtifact(t, dir)
	var last rdrr.Progress
	err := m.VerifyAll(context.Background(), func(p rdrr.Progress) { last = p })
	for _, file := range []string{"shard_00000.bin", "shard_00002.bin", "tokenizer.json"} {
		if err == nil || !strings.Contains(err.Error(), file+" is damaged") {
			t.Errorf("%s is not reported: %v", file, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "shard_00001.bin") {
		t.Errorf("a sound shard is reported: %v", err)
	}
	if last.Done != last.Total || last.Total == 0 {
		t.Errorf("progress ends at %d of %d bytes", last.Done, last.Total)
	}
	var corrupt *rdrr.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Want == corrupt.Got {
		t.Errorf("no CorruptError with both hashes in %v", err)
	}
	if _, err := m.File("tokenizer.json"); !errors.As(err, &corrupt) {
		t.Errorf("a damaged tokenizer.json gives %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.VerifyAll(cancelled, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	dir, _ := writeArtifact(t, rdrr.WriterOptions{})
	m := openArtifact(t, dir)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for e := range 2 {
				if _, err := m.Expert(1, e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	m.Close()
	if _, err := m.Expert(1, 0); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
}

func TestOpenNothing(t *testing.T) {
	if _, err := rdrr.OpenDir(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there gives %v", err)
	}
	if _, err := rdrr.OpenDir(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "manifest.json") {
		t.Errorf("an empty folder gives %v", err)
	}
}
