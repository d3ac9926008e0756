package convert_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/rdrr/convert/safetensors"
)

// load reads a checkpoint to be written again in another layout.
func load(t *testing.T, dir string) []safetensors.Data {
	t.Helper()
	c := openCheckpoint(t, dir)
	var out []safetensors.Data
	for _, name := range c.Names() {
		x := c.Tensor(name)
		b, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, safetensors.Data{Name: name, DType: x.DType, Shape: x.Shape, Bytes: slices.Clone(b)})
	}
	return out
}

func save(t *testing.T, path string, tensors []safetensors.Data) {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// transposed turns each of the stacked matrices [e, rows, cols] of 2-byte elements.
func transposed(x safetensors.Data) safetensors.Data {
	e, rows, cols := x.Shape[0], x.Shape[1], x.Shape[2]
	out := make([]byte, len(x.Bytes))
	for i := range e {
		for r := range rows {
			for c := range cols {
				copy(out[2*((i*cols+c)*rows+r):][:2], x.Bytes[2*((i*rows+r)*cols+c):])
			}
		}
	}
	x.Shape, x.Bytes = []int{e, cols, rows}, out
	return x
}

// stack turns Mixtral's experts into stacked tensors, gate rows before up rows, under the names of newer checkpoints.
func stack(t *testing.T, tensors []safetensors.Data, layers, experts int, turn bool) []safetensors.Data {
	t.Helper()
	byName := map[string]safetensors.Data{}
	var out []safetensors.Data
	for _, x := range tensors {
		if strings.Contains(x.Name, ".experts.") {
			byName[x.Name] = x
			continue
		}
		x.Name = strings.Replace(x.Name, "model.", "model.language_model.", 1)
		out = append(out, x)
	}
	for l := range layers {
		up := safetensors.Data{Name: fmt.Sprintf("model.language_model.layers.%d.mlp.experts.gate_up_proj", l)}
		down := safetensors.Data{Name: fmt.Sprintf("model.language_model.layers.%d.mlp.experts.down_proj", l)}
		for e := range experts {
			part := func(w string) safetensors.Data {
				return byName[fmt.Sprintf("model.layers.%d.block_sparse_moe.experts.%d.%s.weight", l, e, w)]
			}
			gate, w2 := part("w1"), part("w2")
			up.DType, up.Shape = gate.DType, []int{experts, 2 * gate.Shape[0], gate.Shape[1]}
			up.Bytes = append(append(up.Bytes, gate.Bytes...), part("w3").Bytes...)
			down.DType, down.Shape = w2.DType, append([]int{experts}, w2.Shape...)
			down.Bytes = append(down.Bytes, w2.Bytes...)
		}
		if turn {
			up, down = transposed(up), transposed(down)
		}
		out = append(out, up, down)
	}
	return out
}

// The layout of a checkpoint does not show in the artifact: one file or several, experts apart, stacked or stacked and
// transposed, the digest is the same.
func TestLayoutsGiveTheSameArtifact(t *testing.T) {
	want, _ := run(t, options(t, fixture("mixtral"), "none"))
	tensors := load(t, fixture("mixtral"))
	for name, write := range map[string]func(dir string){
		"two files": func(dir string) {
			half := len(tensors) / 2
			save(t, filepath.Join(dir, "a.safetensors"), tensors[:half])
			save(t, filepath.Join(dir, "b.safetensors"), tensors[half:])
			weightMap := map[string]string{}
			for i, x := range tensors {
				weightMap[x.Name] = []string{"a.safetensors", "b.safetensors"}[i/half%2]
			}
			weightMap[tensors[len(tensors)-1].Name] = "b.safetensors"
			index, err := json.Marshal(map[string]any{"weight_map": weightMap})
			if err != nil {
				t.Fatal(err)
			}
			put(t, dir, safetensors.IndexFile, index)
		},
		"stacked": func(dir string) { save(t, filepath.Join(dir, "model.safetensors"), stack(t, tensors, 2, 6, false)) },
		"stacked and transposed": func(dir string) {
			save(t, filepath.Join(dir, "model.safetensors"), stack(t, tensors, 2, 6, true))
		},
	} {
		dir := copyFixture(t, "mixtral")
		os.Remove(filepath.Join(dir, "model.safetensors"))
		write(dir)
		if got, _ := run(t, options(t, dir, "none")); got.Digest != want.Digest {
			t.Errorf("%s: digest %s, want %s", name, got.Digest.Short(), want.Digest.Short())
		}
	}
}

// GPT-OSS checkpoints that were unpacked to plain floats are [experts, inputs, outputs] with alternating gate and up columns.
func TestUnpackedGPTOSS(t *testing.T) {
	_, packed := run(t, options(t, fixture("gpt-oss"), "none"))
	moe := packed.MoE()
	dir := copyFixture(t, "gpt-oss")
	var tensors []safetensors.Data
	for _, x := range load(t, dir) {
		if !strings.Contains(x.Name, "_blocks") && !strings.Contains(x.Name, "_scales") {
			tensors = append(tensors, x)
		}
	}
	for _, layer := range moe.Layers {
		up := make([]byte, 4*moe.Experts*moe.Hidden*2*moe.Intermediate)
		down := make([]byte, 4*moe.Experts*moe.Intermediate*moe.Hidden)
		for e := range moe.Experts {
			x, err := packed.Expert(layer, e)
			if err != nil {
				t.Fatal(err)
			}
			gate, err1 := x.Gate.Floats()
			raise, err2 := x.Up.Floats()
			lower, err3 := x.Down.Floats()
			if err1 != nil || err2 != nil || err3 != nil {
				t.Fatal(err1, err2, err3)
			}
			for h := range moe.Hidden {
				for i := range moe.Intermediate {
					at := (e*moe.Hidden+h)*2*moe.Intermediate + 2*i
					binary.LittleEndian.PutUint32(up[4*at:], math.Float32bits(gate[i*moe.Hidden+h]))
					binary.LittleEndian.PutUint32(up[4*at+4:], math.Float32bits(raise[i*moe.Hidden+h]))
					binary.LittleEndian.PutUint32(down[4*((e*moe.Intermediate+i)*moe.Hidden+h):], math.Float32bits(lower[h*moe.Intermediate+i]))
				}
			}
		}
		prefix := fmt.Sprintf("model.layers.%d.mlp.experts.", layer)
		tensors = append(tensors,
			safetensors.Data{Name: prefix + "gate_up_proj", DType: safetensors.F32, Shape: []int{moe.Experts, moe.Hidden, 2 * moe.Intermediate}, Bytes: up},
			safetensors.Data{Name: prefix + "down_proj", DType: safetensors.F32, Shape: []int{moe.Experts, moe.Intermediate, moe.Hidden}, Bytes: down})
	}
	save(t, filepath.Join(dir, "model.safetensors"), tensors)
	_, unpacked := run(t, options(t, dir, "none"))
	for _, entry := range packed.Manifest().Tensors {
		a, err1 := packed.Tensor(entry.Name)
		b, err2 := unpacked.Tensor(entry.Name)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		x, _ := a.Floats()
		y, _ := b.Floats()
		if d := cmp.Diff(x, y); d != "" {
			t.Fatalf("%s: %s", entry.Name, d)
		}
	}
}

// Tied models may carry a copy of the embedding as the head, and models may carry layers that predict further tokens.
func TestLeftOut(t *testing.T) {
	dir := copyFixture(t, "llama3.2")
	tensors := load(t, dir)
	for _, x := range tensors {
		if x.Name == "model.embed_tokens.weight" {
			x.Name = "lm_head.weight"
			tensors = append(tensors, x)
		}
	}
	save(t, filepath.Join(dir, "model.safetensors"), tensors)
	got, _ := run(t, options(t, dir, "none"))
	want, _ := run(t, options(t, fixture("llama3.2"), "none"))
	if got.Digest != want.Digest || !slices.Equal(got.Skipped, []string{"lm_head.weight"}) {
		t.Errorf("digest %s, want %s; left out %v", got.Digest.Short(), want.Digest.Short(), got.Skipped)
	}
}
