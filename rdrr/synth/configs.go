package synth

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// configs are the published configurations of the models that can be made.
//
//go:embed configs/*.json
var configs embed.FS

// Names lists the models whose shapes are built in.
func Names() []string {
	entries, err := configs.ReadDir("configs")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

// Config returns the configuration of a named model, with another number of layers or of experts per layer where these are
// above 0. A model that chooses more experts per token than it then has chooses all of them.
func Config(name string, layers, experts int) (json.RawMessage, error) {
	raw, err := configs.ReadFile(path.Join("configs", name+".json"))
	if err != nil || !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("no shapes of a model %q are built in: want one of %s", name, strings.Join(Names(), ", "))
	}
	var c map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&c); err != nil {
		return nil, fmt.Errorf("shapes of %s: %w", name, err)
	}
	text := c
	if nested, ok := c["text_config"].(map[string]any); ok {
		text = nested
	}
	if layers > 0 {
		setLayers(text, layers)
	}
	if experts > 0 && !setExperts(text, experts) {
		return nil, fmt.Errorf("%s has no routed experts", name)
	}
	return json.Marshal(c)
}

// setLayers changes the number of layers. What is said of each layer is cut off or goes on as it began.
func setLayers(c map[string]any, n int) {
	c["num_hidden_layers"] = n
	if types, ok := c["layer_types"].([]any); ok && len(types) > 0 {
		out := make([]any, n)
		for l := range out {
			out[l] = types[l%len(types)]
		}
		c["layer_types"] = out
	}
}

func setExperts(c map[string]any, n int) bool {
	for _, field := range []string{"num_experts", "num_local_experts", "n_routed_experts"} {
		if _, ok := c[field]; !ok {
			continue
		}
		c[field] = n
		for _, chosen := range []string{"num_experts_per_tok", "experts_per_token"} {
			if k, ok := c[chosen].(json.Number); ok {
				if k, err := k.Int64(); err == nil && k > int64(n) {
					c[chosen] = n
				}
			}
		}
		return true
	}
	return false
}
