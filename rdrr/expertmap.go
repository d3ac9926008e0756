package rdrr

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkExpertMaps compares the maps from experts to shards and tensors, which some readers rely on, with the tensors' entries.
func (m *Manifest) checkExpertMaps(moe, groups json.RawMessage) error {
	var w wireMoE
	if isPresent(moe) {
		if err := json.Unmarshal(moe, &w); err != nil {
			return fmt.Errorf("moeConfig: %w", err)
		}
	}
	err := eachMember(w.ExpertShardMap, maxTensors, "expertShardMap", func(name string, raw json.RawMessage) error {
		var shards []int
		if json.Unmarshal(raw, &shards) != nil {
			var one int
			if err := json.Unmarshal(raw, &one); err != nil {
				return fmt.Errorf("expertShardMap %q: %w", name, err)
			}
			shards = []int{one}
		}
		return m.checkExpertMap("expertShardMap "+name, splitExpertKey(name), shards, nil)
	})
	if err != nil {
		return err
	}
	err = eachMember(w.ExpertTensors, maxTensors, "expertTensors", func(name string, raw json.RawMessage) error {
		var tensors []string
		if err := json.Unmarshal(raw, &tensors); err != nil {
			return fmt.Errorf("expertTensors %q: %w", name, err)
		}
		return m.checkExpertMap("expertTensors "+name, splitExpertKey(name), nil, tensors)
	})
	if err != nil {
		return err
	}
	return eachMember(groups, maxTensors, "groups", func(name string, raw json.RawMessage) error {
		var g struct {
			Shards  []int    `json:"shards"`
			Tensors []string `json:"tensors"`
		}
		if err := json.Unmarshal(raw, &g); err != nil {
			return fmt.Errorf("group %q: %w", name, err)
		}
		return m.checkExpertMap("group "+name, splitGroupName(name), g.Shards, g.Tensors)
	})
}

// checkExpertMap checks one entry of a map. key is nil for entries of something other than a routed expert; shards or tensors
// are nil where the entry does not say.
func (m *Manifest) checkExpertMap(what string, key *expertKey, shards []int, tensors []string) error {
	for _, s := range shards {
		if s < 0 || s >= len(m.Shards) {
			return fmt.Errorf("%s: names shard %d of %d", what, s, len(m.Shards))
		}
	}
	for _, published := range tensors {
		name, keep := CanonicalName(published)
		if !keep {
			continue
		}
		if _, ok := m.Tensor(name); !ok {
			return fmt.Errorf("%s: names tensor %.80q, which does not exist", what, published)
		}
		if key == nil {
			continue
		}
		if l, e, _, ok := SplitExpertName(name); !ok || l != key.layer || e != key.expert {
			return fmt.Errorf("%s: names tensor %s, which belongs elsewhere", what, name)
		}
	}
	if key == nil {
		return nil
	}
	want, ok := m.experts[*key]
	if !ok {
		return fmt.Errorf("%s: there is no layer %d expert %d", what, key.layer, key.expert)
	}
	got := slices.Clone(shards)
	slices.Sort(got)
	if shards != nil && !slices.Equal(slices.Compact(got), want) {
		return fmt.Errorf("%s: says shards %v, its tensors are in %v", what, shards, want)
	}
	return nil
}

// splitExpertKey reads "L_E"; "L_-1" stands for shared experts and is nil, as is anything else.
func splitExpertKey(s string) *expertKey {
	l, e, _ := strings.Cut(s, "_")
	return makeKey(l, e)
}

// splitGroupName reads "layer.L.expert.E"; groups of other kinds are nil.
func splitGroupName(s string) *expertKey {
	f := strings.Split(s, ".")
	if len(f) != 4 || f[0] != "layer" || f[2] != "expert" {
		return nil
	}
	return makeKey(f[1], f[3])
}

func makeKey(layer, expert string) *expertKey {
	l, err1 := strconv.Atoi(layer)
	e, err2 := strconv.Atoi(expert)
	if err1 != nil || err2 != nil || l < 0 || e < 0 {
		return nil
	}
	return &expertKey{l, e}
}
