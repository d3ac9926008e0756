package convert_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/convert/gguf"
	"shoal/rdrr/quant"
)

// ggufImage is a whole file in memory, for tests that write files as other programs do.
type ggufImage struct {
	meta    *gguf.Metadata
	tensors []gguf.Tensor
	data    map[string][]byte
}

func readImage(t testing.TB, path string) *ggufImage {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	f, err := gguf.Open(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	g := &ggufImage{meta: f.Metadata, tensors: f.Tensors, data: map[string][]byte{}}
	for _, x := range f.Tensors {
		r, err := f.Data(x)
		must(t, err)
		g.data[x.Name], err = io.ReadAll(r)
		must(t, err)
	}
	return g
}

func (g *ggufImage) write(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	w, err := gguf.NewWriter(f, g.meta, g.tensors)
	must(t, err)
	for _, x := range g.tensors {
		must(t, w.Tensor(x.Name, bytes.NewReader(g.data[x.Name])))
	}
	must(t, w.Close())
	return path
}

func (g *ggufImage) tensor(t testing.TB, name string) gguf.Tensor {
	t.Helper()
	i := slices.IndexFunc(g.tensors, func(x gguf.Tensor) bool { return x.Name == name })
	if i < 0 {
		t.Fatalf("no tensor %s", name)
	}
	return g.tensors[i]
}

func (g *ggufImage) drop(name string) {
	g.tensors = slices.DeleteFunc(g.tensors, func(x gguf.Tensor) bool { return x.Name == name })
}

func (g *ggufImage) add(name string, typ quant.Type, shape []int, data []byte) {
	g.tensors = append(g.tensors, gguf.Tensor{Name: name, Type: typ, Shape: shape})
	g.data[name] = data
}

// exported returns an artifact and the file made of it.
func exported(t testing.TB, name string) (*rdrr.Model, *ggufImage) {
	t.Helper()
	tt, ok := t.(*testing.T)
	if !ok {
		t.Fatal("want a test")
	}
	_, m := run(tt, options(tt, fixture(name), "none"))
	path, _ := export(t, m, "none")
	return m, readImage(t, path)
}

// TestOtherFormsOfTheSameModel writes what other versions of llama.cpp's tools write, and wants the same weights back.
func TestOtherFormsOfTheSameModel(t *testing.T) {
	for _, c := range []struct {
		name, fixture string
		change        func(t *testing.T, g *ggufImage)
	}{
		{"latent projections apart", "deepseek-v2", splitLatent},
		{"gate and up merged", "qwen3-moe", mergeGateUp},
		{"experts apart", "mixtral", splitExperts},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, g := exported(t, c.fixture)
			c.change(t, g)
			sameWeights(t, importGGUF(t, g.write(t, filepath.Join(t.TempDir(), "model.gguf"))), m, 0)
		})
	}
}

// splitLatent stores the halves of kv_b apart, the keys' heads transposed, and describes the attention on latents.
func splitLatent(t *testing.T, g *ggufImage) {
	const heads, nope, value, rank = 4, 16, 16, 32
	for l := range 3 {
		name := fmt.Sprintf("blk.%d.attn_kv_b.weight", l)
		x := g.tensor(t, name)
		w := make([]float32, heads*(nope+value)*rank)
		must(t, quant.DecodeRows(x.Type, w, g.data[name], rank))
		var k, v []float32
		for h := range heads {
			head := w[h*(nope+value)*rank:][:(nope+value)*rank]
			for r := range rank {
				for i := range nope {
					k = append(k, head[i*rank+r])
				}
			}
			v = append(v, head[nope*rank:]...)
		}
		g.drop(name)
		g.addFloats(t, fmt.Sprintf("blk.%d.attn_k_b.weight", l), []int{heads, rank, nope}, k)
		g.addFloats(t, fmt.Sprintf("blk.%d.attn_v_b.weight", l), []int{heads, value, rank}, v)
	}
	for key, n := range map[string]uint32{
		"attention.head_count_kv": 1, "attention.key_length": rank + 16, "attention.value_length": rank,
		"attention.key_length_mla": nope + 16, "attention.value_length_mla": value,
	} {
		must(t, g.meta.Set("deepseek2."+key, n))
	}
}

func (g *ggufImage) addFloats(t *testing.T, name string, shape []int, values []float32) {
	t.Helper()
	b := make([]byte, 4*len(values))
	must(t, quant.EncodeRows(quant.F32, b, values, shape[len(shape)-1]))
	g.add(name, quant.F32, shape, b)
}

func mergeGateUp(t *testing.T, g *ggufImage) {
	for l := range 3 {
		gate, up := fmt.Sprintf("blk.%d.ffn_gate_exps.weight", l), fmt.Sprintf("blk.%d.ffn_up_exps.weight", l)
		x := g.tensor(t, gate)
		experts := x.Shape[0]
		var both []byte
		n := len(g.data[gate]) / experts
		for e := range experts {
			both = append(append(both, g.data[gate][e*n:(e+1)*n]...), g.data[up][e*n:(e+1)*n]...)
		}
		g.drop(gate)
		g.drop(up)
		g.add(fmt.Sprintf("blk.%d.ffn_gate_up_exps.weight", l), x.Type, []int{experts, 2 * x.Shape[1], x.Shape[2]}, both)
	}
}

func splitExperts(t *testing.T, g *ggufImage) {
	for _, x := range slices.Clone(g.tensors) {
		stem, ok := strings.CutSuffix(x.Name, "_exps.weight")
		if !ok {
			continue
		}
		n := len(g.data[x.Name]) / x.Shape[0]
		for e := range x.Shape[0] {
			g.add(fmt.Sprintf("%s.%d.weight", stem, e), x.Type, x.Shape[1:], g.data[x.Name][e*n:(e+1)*n])
		}
		g.drop(x.Name)
	}
}

func TestSplitFiles(t *testing.T) {
	m, g := exported(t, "llama3.2")
	dir := t.TempDir()
	half := len(g.tensors) / 2
	for i, tensors := range [][]gguf.Tensor{g.tensors[:half], g.tensors[half:]} {
		part := &ggufImage{meta: &gguf.Metadata{}, tensors: tensors, data: g.data}
		if i == 0 {
			part.meta = g.meta
		}
		must(t, part.meta.Set("split.no", uint16(i)))
		must(t, part.meta.Set("split.count", uint16(2)))
		part.write(t, filepath.Join(dir, fmt.Sprintf("model-%05d-of-00002.gguf", i+1)))
	}
	second := filepath.Join(dir, "model-00002-of-00002.gguf")
	sameWeights(t, importGGUF(t, second), m, 0)
	must(t, os.Remove(second))
	if _, err := convert.OpenGGUF(filepath.Join(dir, "model-00001-of-00002.gguf")); err == nil || !strings.Contains(err.Error(), "part 2 of 2") {
		t.Errorf("a part is missing: error %v", err)
	}
}

// TestTokenizerTravels puts a vocabulary through an artifact and back.
func TestTokenizerTravels(t *testing.T) {
	_, g := exported(t, "qwen3")
	set := func(key string, v any) { must(t, g.meta.Set("tokenizer."+key, v)) }
	set("ggml.model", "llama")
	set("ggml.pre", "default")
	set("ggml.tokens", []string{"<unk>", "<s>", "</s>", "<0x0A>", "▁a", "<|eot_id|>"})
	set("ggml.scores", []float32{0, 0, 0, 0, -1.5, 0})
	set("ggml.token_type", []int32{2, 3, 3, 6, 1, 3})
	set("ggml.bos_token_id", uint32(1))
	set("ggml.eos_token_id", uint32(2))
	set("ggml.add_bos_token", true)
	set("chat_template", "{{ messages }}")
	m := importGGUF(t, g.write(t, filepath.Join(t.TempDir(), "model.gguf")))

	file := func(name string) string {
		b, err := m.File(name)
		must(t, err)
		return string(b)
	}
	if got := file("chat_template.jinja"); got != "{{ messages }}" {
		t.Errorf("chat template %q", got)
	}
	if got := file("generation_config.json"); got != `{"bos_token_id":1,"eos_token_id":[2,5]}` {
		t.Errorf("generation config %s", got)
	}
	var vocabulary map[string]any
	must(t, json.Unmarshal([]byte(file(convert.VocabularyFile)), &vocabulary))
	if vocabulary["model"] != "llama" || len(vocabulary["tokens"].([]any)) != 6 {
		t.Errorf("vocabulary %v", vocabulary)
	}
	path, _ := export(t, m, "none")
	back := readImage(t, path)
	for _, key := range g.meta.Keys() {
		if !strings.HasPrefix(key, "tokenizer.") {
			continue
		}
		want, _ := g.meta.Value(key)
		got, _ := back.meta.Value(key)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("key %s (-before +after):\n%s", key, diff)
		}
	}
}

func TestGGUFRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, g *ggufImage)
		want   []string
	}{
		{"architecture", func(t *testing.T, g *ggufImage) { must(t, g.meta.Set("general.architecture", "mamba")) }, []string{"mamba", "qwen3moe"}},
		{"unknown key", func(t *testing.T, g *ggufImage) { must(t, g.meta.Set("llama.attention.temperature_scale", float32(2))) }, []string{"llama.attention.temperature_scale (2)", "not known"}},
		{"missing key", func(t *testing.T, g *ggufImage) {
			must(t, g.meta.Set("general.architecture", "olmoe"))
		}, []string{"olmoe.attention.head_count", "not in the metadata"}},
		{"key of another type", func(t *testing.T, g *ggufImage) { must(t, g.meta.Set("llama.block_count", "many")) }, []string{"llama.block_count", "integer"}},
		{"layers that differ", func(t *testing.T, g *ggufImage) {
			must(t, g.meta.Set("llama.attention.head_count_kv", []uint32{2, 4, 2}))
		}, []string{"llama.attention.head_count_kv", "[2 4 2]"}},
		{"value heads", func(t *testing.T, g *ggufImage) { must(t, g.meta.Set("llama.attention.value_length", uint32(8))) }, []string{"attention.value_length", "is 8"}},
		{"no embedding", func(t *testing.T, g *ggufImage) { g.drop("token_embd.weight") }, []string{"token_embd.weight"}},
		{"rope factors", func(t *testing.T, g *ggufImage) {
			g.drop("rope_freqs.weight")
			g.addFloats(t, "rope_freqs.weight", []int{8}, []float32{1, 9, 1, 3, 1, 1, 1, 1})
		}, []string{"rope_freqs.weight", "llama3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, g := exported(t, "llama3.2")
			c.change(t, g)
			_, err := convert.OpenGGUF(g.write(t, filepath.Join(t.TempDir(), "model.gguf")))
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}
