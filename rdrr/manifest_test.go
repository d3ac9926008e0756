package rdrr_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/rdrr"
)

func object(m map[string]any, path ...string) map[string]any {
	for _, name := range path {
		m = m[name].(map[string]any)
	}
	return m
}

func shardOf(m map[string]any, i int) map[string]any { return m["shards"].([]any)[i].(map[string]any) }

func readManifest(t testing.TB) []byte {
	t.Helper()
	dir, _ := writeArtifact(t, rdrr.WriterOptions{})
	raw, err := os.ReadFile(filepath.Join(dir, rdrr.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Each edit makes a sound manifest contradict itself or reach too far; each is refused with an error that says what it is.
func TestRefuse(t *testing.T) {
	const head = "lm_head.weight"
	for _, c := range []struct {
		name string
		edit func(m map[string]any)
		want string
	}{
		{"newer version", func(m map[string]any) { m["version"] = 2 }, "newer"},
		{"newer version as text", func(m map[string]any) { m["version"] = "1.1" }, "newer"},
		{"older version", func(m map[string]any) { m["version"] = 0.9 }, "not supported"},
		{"no version", func(m map[string]any) { delete(m, "version") }, "version"},
		{"version NaN", func(m map[string]any) { m["version"] = "NaN" }, "version"},
		{"no config", func(m map[string]any) { delete(m, "config") }, "config"},
		{"no model id", func(m map[string]any) { m["modelId"] = "" }, "modelId"},

		{"shard above", func(m map[string]any) { shardOf(m, 0)["filename"] = "../secret.bin" }, "leaves the artifact's folder"},
		{"shard elsewhere", func(m map[string]any) { shardOf(m, 0)["filename"] = "/etc/passwd" }, "leaves the artifact's folder"},
		{"shard on a drive", func(m map[string]any) { shardOf(m, 0)["filename"] = `C:\x.bin` }, "leaves the artifact's folder"},
		{"shard below", func(m map[string]any) { shardOf(m, 0)["filename"] = "sub/x.bin" }, "leaves the artifact's folder"},
		{"shard without name", func(m map[string]any) { delete(shardOf(m, 0), "filename") }, "file name"},
		{"shard with a strange name", func(m map[string]any) { shardOf(m, 0)["filename"] = "a\nb" }, "file name"},
		{"shard is a device", func(m map[string]any) { shardOf(m, 0)["filename"] = "nul.bin" }, "device"},
		{"shard named twice", func(m map[string]any) { shardOf(m, 0)["filename"] = "SHARD_00001.BIN" }, "named twice"},
		{"shard is the manifest", func(m map[string]any) { shardOf(m, 0)["filename"] = "manifest.json" }, "named twice"},
		{"shard of no size", func(m map[string]any) { shardOf(m, 0)["size"] = 0 }, "size 0"},
		{"shard of absurd size", func(m map[string]any) { shardOf(m, 0)["size"] = 1 << 50 }, "size 1125899906842624"},
		{"shard of negative size", func(m map[string]any) { shardOf(m, 0)["size"] = -5 }, "size -5"},
		{"shard out of place", func(m map[string]any) { shardOf(m, 0)["offset"] = 8 }, "offset 8"},
		{"shard of another index", func(m map[string]any) { shardOf(m, 0)["index"] = 1 }, "index is 1"},
		{"short hash", func(m map[string]any) { shardOf(m, 0)["hash"] = "abcd" }, "64 hex digits"},
		{"unknown hash", func(m map[string]any) { shardOf(m, 0)["hashAlgorithm"] = "md5" }, "md5"},
		{"no shards", func(m map[string]any) { m["shards"] = []any{} }, "no shards"},
		{"shards are no array", func(m map[string]any) { m["shards"] = map[string]any{} }, "not an array"},
		{"other total", func(m map[string]any) { m["totalSize"] = 1 }, "totalSize"},

		{"unknown dtype", func(m map[string]any) { object(m, "tensors", head)["dtype"] = "IQ2_XS" }, `unknown number format "IQ2_XS"`},
		{"another dtype", func(m map[string]any) { object(m, "tensors", head)["dtype"] = "F32" }, "F32 of shape [5 64] takes 1280"},
		{"another shape", func(m map[string]any) { object(m, "tensors", head)["shape"] = []int{6, 64} }, "of shape [6 64] takes"},
		{"absurd shape", func(m map[string]any) { object(m, "tensors", head)["shape"] = []int{1 << 40, 1 << 40} }, "over 1099511627776 elements"},
		{"negative shape", func(m map[string]any) { object(m, "tensors", head)["shape"] = []int{-5, -64} }, "negative"},
		{"no shape", func(m map[string]any) { delete(object(m, "tensors", head), "shape") }, "0 dimensions"},
		{"past the shard's end", func(m map[string]any) { object(m, "tensors", head)["offset"] = 1 << 20 }, "outside of shard_00000.bin"},
		{"before its start", func(m map[string]any) { object(m, "tensors", head)["offset"] = -1 }, "outside of shard_00000.bin"},
		{"offset that overflows", func(m map[string]any) { object(m, "tensors", head)["offset"] = int64(1<<63 - 1) }, "outside of shard_00000.bin"},
		{"in no shard", func(m map[string]any) { object(m, "tensors", head)["shard"] = 99 }, "shard 99 of 3"},
		{"overlap", func(m map[string]any) { object(m, "tensors", head)["offset"] = 0 }, "overlap in shard_00000.bin"},
		{"column layout", func(m map[string]any) { object(m, "tensors", head)["layout"] = "column" }, `layout "column"`},
		{"spans of another size", func(m map[string]any) {
			object(m, "tensors", head)["spans"] = []any{map[string]any{"shard": 0, "offset": 0, "size": 1}}
		}, "its spans have 1 bytes"},
		{"other count", func(m map[string]any) { m["tensorCount"] = 3 }, "tensorCount is 3"},
		{"no tensors", func(m map[string]any) { m["tensors"] = map[string]any{}; delete(m, "tensorCount") }, "names no tensors"},
		{"tensors twice over", func(m map[string]any) { m["tensorsFile"] = "tensors.json" }, "both tensors and tensorsFile"},
		{"tensors file above", func(m map[string]any) { delete(m, "tensors"); m["tensorsFile"] = "../t.json" }, "leaves the artifact's folder"},

		{"file above", func(m map[string]any) { m["files"] = map[string]any{"../x": map[string]any{"size": 1}} }, "leaves the artifact's folder"},
		{"file of absurd size", func(m map[string]any) { object(m, "files", "tokenizer.json")["size"] = 1 << 40 }, "size 1099511627776"},
		{"file without hash", func(m map[string]any) { delete(object(m, "files", "tokenizer.json"), "hash") }, "64 hex digits"},

		{"experts without tensors", func(m map[string]any) {
			tensors := object(m, "tensors")
			for name := range tensors {
				if strings.Contains(name, ".experts.") {
					delete(tensors, name)
				}
			}
			delete(m, "tensorCount")
		}, "no tensor belongs to an expert"},
		{"half an expert", func(m map[string]any) {
			delete(object(m, "tensors"), "model.layers.1.mlp.experts.0.up_proj.weight")
			delete(m, "tensorCount")
		}, "layer 1 expert 0: has no up_proj.weight"},
		{"more experts", func(m map[string]any) { object(m, "moeConfig")["numExperts"] = 3 }, "numExperts is 3"},
		{"absurd top-k", func(m map[string]any) { object(m, "moeConfig")["numExpertsPerToken"] = 1000 }, "numExpertsPerToken is 1000"},
		{"other layers", func(m map[string]any) { object(m, "moeConfig")["layers"] = []int{0} }, "layers are [0]"},
		{"other width", func(m map[string]any) { object(m, "moeConfig")["hiddenSize"] = 32 }, "hiddenSize is 32"},
		{"unknown activation", func(m map[string]any) { object(m, "moeConfig")["activation"] = "tanh" }, `"tanh"`},
		{"expert map names another shard", func(m map[string]any) { object(m, "moeConfig", "expertShardMap")["1_0"] = []int{2} }, "says shards [2]"},
		{"expert map names no shard", func(m map[string]any) { object(m, "moeConfig", "expertShardMap")["1_0"] = []int{77} }, "shard 77 of 3"},
		{"expert map names no expert", func(m map[string]any) { object(m, "moeConfig", "expertShardMap")["9_9"] = []int{1} }, "no layer 9 expert 9"},
		{"group names another shard", func(m map[string]any) { object(m, "groups", "layer.1.expert.1")["shards"] = []int{0} }, "says shards [0]"},
		{"group names another's tensor", func(m map[string]any) {
			object(m, "groups", "layer.1.expert.1")["tensors"] = []string{"model.layers.1.mlp.experts.0.up_proj.weight"}
		}, "belongs elsewhere"},
		{"group names no tensor", func(m map[string]any) { object(m, "groups", "layer.1.expert.1")["tensors"] = []string{"x"} }, "does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := rdrr.ParseManifest(edited(t, readManifest(t), c.edit), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestRefuseText(t *testing.T) {
	sound := string(readManifest(t))
	for name, c := range map[string]struct{ text, want string }{
		"nothing":            {"", "JSON"},
		"no JSON":            {"{", "JSON"},
		"another JSON":       {"[]", "array"},
		"tensor named twice": {strings.Replace(sound, `"model.norm.weight"`, `"lm_head.weight"`, 1), "twice"},
		"two names for one":  {strings.Replace(sound, `"model.norm.weight"`, `"language_model.lm_head.weight"`, 1), "twice"},
		"too many shards":    {strings.Replace(sound, `"shards": [`, `"shards": [`+strings.Repeat("{},", 1<<18), 1), "shard 0"},
	} {
		if _, err := rdrr.ParseManifest([]byte(c.text), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestDigest(t *testing.T) {
	raw := readManifest(t)
	digest := func(raw []byte) rdrr.Digest {
		t.Helper()
		m, err := rdrr.ParseManifest(raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m.Digest()
	}
	want := digest(raw)
	for name, edit := range map[string]func(m map[string]any){
		"spelling":      func(m map[string]any) {},
		"names":         func(m map[string]any) { m["modelId"], m["quantization"] = "another", "?" },
		"unknown field": func(m map[string]any) { m["later"] = true },
		"file names":    func(m map[string]any) { shardOf(m, 0)["filename"] = "trunk.bin" },
		"tokenizer":     func(m map[string]any) { delete(object(m, "files"), "tokenizer.json") },
	} {
		if digest(edited(t, raw, edit)) != want {
			t.Errorf("%s changes the digest", name)
		}
	}
	for name, edit := range map[string]func(m map[string]any){
		"configuration": func(m map[string]any) { object(m, "config")["rms_norm_eps"] = 1e-5 },
		"weights":       func(m map[string]any) { shardOf(m, 2)["hash"] = strings.Repeat("0", 64) },
		"experts":       func(m map[string]any) { object(m, "moeConfig")["numExpertsPerToken"] = 2 },
		"number format": func(m map[string]any) {
			object(m, "tensors", "model.layers.1.mlp.gate.weight")["dtype"] = "F16"
		},
	} {
		if digest(edited(t, raw, edit)) == want {
			t.Errorf("another %s leaves the digest as it is", name)
		}
	}
	parsed, err := rdrr.ParseDigest(want.String())
	if err != nil || parsed != want {
		t.Errorf("ParseDigest(%s) = %s, %v", want, parsed, err)
	}
}
