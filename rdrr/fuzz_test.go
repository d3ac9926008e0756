package rdrr_test

import (
	"strings"
	"testing"

	"shoal/rdrr"
)

// A manifest that parses keeps its promises: every tensor lies within its shards, every expert has a shard, the digest exists.
func FuzzManifest(f *testing.F) {
	sound := string(readManifest(f))
	f.Add([]byte(sound))
	f.Add([]byte(strings.ReplaceAll(sound, `"filename"`, `"fileName"`)))
	f.Add([]byte(strings.ReplaceAll(sound, `"shard":`, `"shardIndex":`)))
	f.Add([]byte(strings.Replace(sound, `"version": 1`, `"version": "1.0"`, 1)))
	f.Add([]byte(strings.ReplaceAll(sound, "Q8_0", "Q4_K")))
	f.Add([]byte(strings.ReplaceAll(sound, `"offset":0`, `"offset":-1`)))
	f.Add([]byte(`{"version":1,"modelId":"m","modelType":"t","config":{},"shards":[{"filename":"a","size":4,"hash":"` + strings.Repeat("0", 64) +
		`"}],"tensors":{"model.norm.weight":{"offset":0,"size":4,"shape":[1],"dtype":"F32"}}}`))
	f.Add([]byte(`{"version":1,"tensorsFile":"t.json"}`))
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
