package rdrr_test

import (
	"strings"
	"testing"

	"shoal/rdrr"
)

// smallManifest has one expert of one weight a matrix: small inputs are mutated fastest.
const smallManifest = `{"version":1,"modelId":"m","modelType":"t","config":{"num_experts_per_tok":1},"hashAlgorithm":"sha256",
"shards":[{"filename":"a","size":8,"hash":"HASH"},{"filename":"b","size":4,"hash":"HASH"}],
"moeConfig":{"numExperts":1,"expertShardMap":{"0_0":[0,1]}},"groups":{"layer.0.expert.0":{"shards":[0,1]}},
"tensors":{
"layers.0.mlp.experts.0.gate_proj.weight":{"shard":0,"offset":0,"size":4,"shape":[1,1],"dtype":"F32"},
"layers.0.mlp.experts.0.up_proj.weight":{"shard":0,"offset":4,"size":4,"shape":[1,1],"dtype":"F32"},
"layers.0.mlp.experts.0.down_proj.weight":{"shard":1,"offset":0,"size":4,"shape":[1,1],"dtype":"F32","spans":[{"shard":1,"offset":0,"size":4}]}}}`

// A manifest that parses keeps its promises: every tensor lies within its shards, every expert has a shard, the digest exists.
func FuzzManifest(f *testing.F) {
	sound := strings.ReplaceAll(smallManifest, "HASH", strings.Repeat("0", 64))
	f.Add([]byte(sound))
	f.Add([]byte(strings.ReplaceAll(sound, `"filename"`, `"fileName"`)))
	f.Add([]byte(strings.ReplaceAll(sound, `"shard":`, `"shardIndex":`)))
	f.Add([]byte(strings.Replace(sound, `"version":1`, `"version":"1.0"`, 1)))
	f.Add([]byte(strings.ReplaceAll(sound, "F32", "Q4_K")))
	f.Add([]byte(strings.ReplaceAll(sound, `"offset":0`, `"offset":-1`)))
	f.Add([]byte(`{"version":1,"modelId":"m","modelType":"t","config":{},"shards":[{"filename":"a","size":4,"hash":"` + strings.Repeat("0", 64) +
		`"}],"tensors":{"model.norm.weight":{"offset":0,"size":4,"shape":[1],"dtype":"F32"}}}`))
	f.Add([]byte(`{"version":1,"tensorsFile":"t.json"}`))
	if _, err := rdrr.ParseManifest([]byte(sound), nil); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := rdrr.ParseManifest(data, func(string) ([]byte, error) { return data, nil })
		if err != nil {
			return
		}
		for _, x := range m.Tensors {
			for _, s := range x.Spans {
				if s.Offset < 0 || s.Size <= 0 || s.Offset+s.Size > m.Shards[s.Shard].Size {
					t.Errorf("tensor %s: span %+v of a shard of %d bytes", x.Name, s, m.Shards[s.Shard].Size)
				}
			}
		}
		if moe := m.MoE; moe != nil {
			for _, l := range moe.Layers {
				for e := range moe.Experts {
					if len(m.ExpertShards(l, e)) == 0 {
						t.Errorf("layer %d expert %d is nowhere", l, e)
					}
				}
			}
		}
		if m.Digest() == (rdrr.Digest{}) {
			t.Error("no digest")
		}
	})
}
