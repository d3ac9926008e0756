package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// ggufFamily says how the files of one general.architecture are to be read.
type ggufFamily struct {
	config   func(g *ggufModel, c config) // adds the family's fields to the configuration
	permuted bool                         // rows of queries and keys are in pairs, see gguf_rows.go
	plusOne  bool                         // norms are stored as w + 1
	first    []spelling                   // names that come before those of ggufLayerStems
}

var ggufFamilies = map[string]ggufFamily{
	"deepseek2": {config: (*ggufModel).deepseek},
	"gemma3":    {config: (*ggufModel).gemma3, plusOne: true, first: sandwichStems},
	"glm4moe":   {config: (*ggufModel).glm4, first: postNormStems},
	"gpt-oss":   {config: (*ggufModel).gptOSS, first: postNormStems},
	"llama":     {config: (*ggufModel).llama, permuted: true},
	"olmoe":     {config: (*ggufModel).olmoe},
	"phimoe":    {config: (*ggufModel).phimoe},
	"qwen2moe":  {config: (*ggufModel).qwen2MoE},
	"qwen3":     {config: (*ggufModel).qwen3},
	"qwen3moe":  {config: (*ggufModel).qwen3MoE},
}

func ggufArchitectures() string {
	return strings.Join(slices.Sorted(maps.Keys(ggufFamilies)), ", ")
}

// config is a hub-style config.json in the making.
type config map[string]any

// readConfig makes the hub-style configuration of what the metadata and the tensors say.
func (g *ggufModel) readConfig() (json.RawMessage, error) {
	k := g.keys
	embedding, err := g.tensor("token_embd.weight")
	if err != nil {
		return nil, err
	}
	if len(embedding.Shape) != 2 {
		return nil, fmt.Errorf("tensor token_embd.weight has shape %v, want [vocabulary, hidden]", embedding.Shape)
	}
	g.allHeads = k.int("attention.head_count")
	g.kvHeads = k.intOr("attention.head_count_kv", g.allHeads)
	c := config{
		"vocab_size":              embedding.Shape[0],
		"hidden_size":             k.int("embedding_length"),
		"num_hidden_layers":       k.int("block_count"),
		"max_position_embeddings": k.int("context_length"),
		"num_attention_heads":     g.allHeads,
		"num_key_value_heads":     g.kvHeads,
		"rms_norm_eps":            k.floatOr("attention.layer_norm_rms_epsilon", "1e-5"),
		"rope_theta":              k.floatOr("rope.freq_base", "10000"),
		"tie_word_embeddings":     !g.has("output.weight"),
	}
	g.tokenIDs(c)
	if k.err == nil {
		g.family.config(g, c)
	}
	if err := k.finish(); err != nil {
		return nil, err
	}
	return json.Marshal(c)
}

// heads adds the fields of grouped-query attention, whose key and value heads are of one size.
func (g *ggufModel) heads(c config) {
	k := g.keys
	hidden, _ := c["hidden_size"].(int)
	def := 0
	if g.allHeads > 0 {
		def = hidden / g.allHeads
	}
	dim := k.intOr("attention.key_length", def)
	k.only("attention.value_length", dim)
	c["head_dim"] = dim
	if n := k.intOr("rope.dimension_count", dim); n != dim && dim > 0 {
		partial := float64(n) / float64(dim)
		if int(partial*float64(dim)) < n { // the reader of the configuration rounds down
			partial = math.Nextafter(partial, 1)
		}
		c["partial_rotary_factor"] = partial
	}
	if s := g.scaling(dim); s != nil {
		c["rope_scaling"] = s
	}
}

// biased tells whether the attention has biases.
func (g *ggufModel) biased() bool { return g.has("blk.0.attn_q.bias") }

func (g *ggufModel) llama(c config) {
	k := g.keys
	g.heads(c)
	c["hidden_act"] = "silu"
	c["intermediate_size"] = k.int("feed_forward_length")
	window := k.intOr("attention.sliding_window", 0)
	switch experts := k.intOr("expert_count", 0); {
	case experts > 0:
		c["model_type"] = "mixtral"
		c["num_local_experts"], c["num_experts_per_tok"] = experts, k.int("expert_used_count")
	case window > 0:
		c["model_type"] = "mistral"
	default:
		c["model_type"] = "llama"
		c["attention_bias"] = g.biased()
		k.has("expert_used_count")
	}
	if window > 0 {
		c["sliding_window"] = window
	}
}

func (g *ggufModel) qwen3(c config) {
	g.heads(c)
	c["model_type"], c["hidden_act"], c["attention_bias"] = "qwen3", "silu", g.biased()
	c["intermediate_size"] = g.keys.int("feed_forward_length")
	g.qwenWindow(c)
}

// qwenWindow adds a window, which holds for all layers unless the file says for which.
func (g *ggufModel) qwenWindow(c config) {
	window := g.keys.intOr("attention.sliding_window", 0)
	if window == 0 {
		return
	}
	c["sliding_window"], c["use_sliding_window"], c["max_window_layers"] = window, true, 0
	if g.keys.has(windowPatternKey) {
		c["layer_types"] = g.layerTypes(1)
	}
}

func (g *ggufModel) qwen3MoE(c config) {
	g.heads(c)
	c["model_type"], c["attention_bias"] = "qwen3_moe", g.biased()
	g.qwenWindow(c)
	g.softmaxExperts(c, true)
}

func (g *ggufModel) qwen2MoE(c config) {
	g.heads(c)
	c["model_type"], c["qkv_bias"] = "qwen2_moe", g.biased()
	g.qwenWindow(c)
	g.softmaxExperts(c, false)
	c["shared_expert_intermediate_size"] = g.keys.intOr("expert_shared_feed_forward_length", g.rows("ffn_gate_shexp"))
}

// softmaxExperts adds the experts of Qwen's families. renormalise is what a file means that does not say it.
func (g *ggufModel) softmaxExperts(c config, renormalise bool) {
	k := g.keys
	c["hidden_act"] = "silu"
	c["num_experts"], c["num_experts_per_tok"] = k.int("expert_count"), k.int("expert_used_count")
	c["moe_intermediate_size"] = k.intOr("expert_feed_forward_length", g.expertRows())
	c["intermediate_size"] = k.intOr("feed_forward_length", g.expertRows())
	c["norm_topk_prob"] = k.boolOr("expert_weights_norm", renormalise)
	c["decoder_sparse_step"], c["mlp_only_layers"] = 1, g.denseLayers()
	k.only("expert_gating_func", gateSoftmax)
}

// Values of expert_gating_func.
const (
	gateSoftmax = 1
	gateSigmoid = 2
)

// denseLayers lists the layers without a router.
func (g *ggufModel) denseLayers() []int {
	dense := []int{}
	for l := range g.keys.int("block_count") {
		if !g.has(fmt.Sprintf("blk.%d.ffn_gate_inp.weight", l)) {
			dense = append(dense, l)
		}
		if l > maxBlocks {
			break
		}
	}
	return dense
}

const maxBlocks = 1 << 16

// rows is the number of rows of the first layer's tensor of that stem, 0 if no layer has one.
func (g *ggufModel) rows(stem string) int {
	for _, name := range g.sortedNames() {
		if _, rest, ok := splitBlock(name); ok && rest == stem+".weight" {
			shape := g.places[name].Shape
			return shape[max(0, len(shape)-2)]
		}
	}
	return 0
}

func (g *ggufModel) expertRows() int {
	if n := g.rows("ffn_up_exps"); n > 0 {
		return n
	}
	return g.rows("ffn_gate_up_exps") / 2
}

func (g *ggufModel) olmoe(c config) {
	k := g.keys
	g.heads(c)
	c["model_type"], c["hidden_act"], c["attention_bias"] = "olmoe", "silu", g.biased()
	c["num_experts"], c["num_experts_per_tok"] = k.int("expert_count"), k.int("expert_used_count")
	c["intermediate_size"] = k.intOr("expert_feed_forward_length", k.int("feed_forward_length"))
	c["norm_topk_prob"] = k.boolOr("expert_weights_norm", false)
}

func (g *ggufModel) phimoe(c config) {
	k := g.keys
	g.heads(c)
	c["model_type"], c["hidden_act"] = "phimoe", "silu"
	c["rms_norm_eps"] = k.floatOr("attention.layer_norm_epsilon", c["rms_norm_eps"].(json.Number))
	c["attention_bias"], c["lm_head_bias"] = g.biased(), g.has("output.bias")
	c["num_local_experts"], c["num_experts_per_tok"] = k.int("expert_count"), k.int("expert_used_count")
	c["intermediate_size"] = k.intOr("expert_feed_forward_length", k.int("feed_forward_length"))
	c["router_jitter_noise"] = k.floatOr("router_jitter", "0.01")
	if window := k.intOr("attention.sliding_window", 0); window > 0 {
		c["sliding_window"] = window
	}
	for _, name := range []string{"rope_factors_long.weight", "rope_factors_short.weight"} {
		if g.has(name) {
			k.fail(fmt.Errorf("tensor %s: longrope scaling is not supported", name))
		}
	}
}

func (g *ggufModel) gptOSS(c config) {
	k := g.keys
	g.heads(c)
	c["model_type"], c["hidden_act"], c["attention_bias"] = "gpt_oss", "silu", g.biased()
	c["num_local_experts"], c["num_experts_per_tok"] = k.int("expert_count"), k.int("expert_used_count")
	c["intermediate_size"] = k.intOr("expert_feed_forward_length", k.intOr("feed_forward_length", 0))
	k.has("feed_forward_length")
	k.only("expert_gating_func", gateSelected)
	c["sliding_window"] = k.intOr("attention.sliding_window", 128)
	c["layer_types"] = g.layerTypes(2)
}

// gateSelected is the expert_gating_func of a softmax over the chosen experts.
const gateSelected = 3

// windowPatternKey tells which layers slide, one by one or as the period of those that do not.
const windowPatternKey = "attention.sliding_window_pattern"

// layerTypes names the layers that slide: as the file says, or all but every period-th.
func (g *ggufModel) layerTypes(period int) []string {
	k := g.keys
	slides, err := k.meta.Bools(k.prefix + windowPatternKey)
	if k.has(windowPatternKey) && err != nil {
		period = k.int(windowPatternKey)
	}
	n := k.int("block_count")
	if n < 0 || n > maxBlocks || slides != nil && len(slides) != n || period < 1 {
		k.fail(fmt.Errorf("GGUF key %q does not fit %d layers", k.prefix+windowPatternKey, n))
		return nil
	}
	types := make([]string, n)
	for l := range types {
		types[l] = "full_attention"
		if slides != nil && slides[l] || slides == nil && (l+1)%period != 0 {
			types[l] = "sliding_attention"
		}
	}
	return types
}

// gemma3 makes a text-only Gemma 3. Files leave the local layers' base out; llama.cpp has it built in, as it has the attention
// scale of the 27B model, which alone is not that of its head size.
func (g *ggufModel) gemma3(c config) {
	k := g.keys
	g.heads(c)
	c["model_type"], c["hidden_activation"] = "gemma3_text", "gelu_pytorch_tanh"
	c["intermediate_size"] = k.int("feed_forward_length")
	c["sliding_window"] = k.intOr("attention.sliding_window", 4096)
	c["layer_types"] = g.layerTypes(6)
	full := map[string]any{"rope_theta": k.floatOr("rope.freq_base", "1000000"), "rope_type": "default"}
	if s, ok := c["rope_scaling"].(map[string]any); ok {
		maps.Copy(full, s)
	}
	delete(c, "rope_scaling")
	delete(c, "rope_theta")
	local := map[string]any{"rope_theta": k.floatOr("rope.freq_base_swa", "10000"), "rope_type": "default"}
	c["rope_parameters"] = map[string]any{"full_attention": full, "sliding_attention": local}
	k.only("rope.dimension_count_swa", c["head_dim"].(int))
	k.only("attention.key_length_swa", c["head_dim"].(int))
	k.only("attention.value_length_swa", c["head_dim"].(int))

	scalar := float64(c["head_dim"].(int))
	if layers, _ := c["num_hidden_layers"].(int); layers == 62 && g.allHeads > 0 {
		scalar = float64(c["hidden_size"].(int) / g.allHeads)
	}
	if k.has("attention.scale") && k.value("attention.scale") > 0 {
		scale := k.value("attention.scale")
		scalar = 1 / (scale * scale)
		if whole := math.Round(scalar); math.Abs(scalar-whole) < 1e-4*whole {
			scalar = whole
		}
	}
	c["query_pre_attn_scalar"] = scalar
	c["attn_logit_softcapping"] = positiveOrNil(k, "attn_logit_softcapping")
	c["final_logit_softcapping"] = positiveOrNil(k, "final_logit_softcapping")
}

func positiveOrNil(k *ggufKeys, key string) any {
	if !k.has(key) || k.value(key) == 0 {
		return nil
	}
	return k.float(key)
}

func (g *ggufModel) deepseek(c config) {
	k := g.keys
	c["hidden_act"], c["attention_bias"] = "silu", g.has("blk.0.attn_kv_a_mqa.bias")
	rope, rank := k.int("rope.dimension_count"), k.int("attention.kv_lora_rank")
	// Newer files describe the attention as it runs on the latents, and the heads in keys of their own.
	key := k.intOr("attention.key_length_mla", k.intOr("attention.key_length", 0))
	value := k.intOr("attention.value_length_mla", k.intOr("attention.value_length", 0))
	k.has("attention.key_length")
	k.has("attention.value_length")
	c["num_key_value_heads"] = g.allHeads
	c["kv_lora_rank"], c["qk_rope_head_dim"], c["qk_nope_head_dim"], c["v_head_dim"] = rank, rope, key-rope, value
	c["q_lora_rank"] = nil
	if n := k.intOr("attention.q_lora_rank", 0); n > 0 {
		c["q_lora_rank"] = n
	}
	c["intermediate_size"] = k.int("feed_forward_length")
	g.groupedExperts(c)
	pre, _ := g.meta.String("tokenizer.ggml.pre")
	kimi := pre == "kimi-k2"
	switch gate := k.intOr("expert_gating_func", gateSoftmax); {
	case gate == gateSigmoid:
		c["model_type"] = "deepseek_v3"
		if kimi {
			c["model_type"] = "kimi_k2"
		}
		c["scoring_func"], c["topk_method"] = "sigmoid", "noaux_tc"
	case gate == gateSoftmax || gate == 0:
		c["model_type"], c["scoring_func"], c["topk_method"] = "deepseek_v2", "softmax", "greedy"
		if groups, _ := c["n_group"].(int); groups > 1 {
			c["topk_method"] = "group_limited_greedy"
		}
	default:
		k.fail(fmt.Errorf("GGUF key %q is %d, which is not supported: want %d or %d", k.prefix+"expert_gating_func", gate, gateSoftmax, gateSigmoid))
	}
	if s := g.scaling(rope); s != nil {
		if kimi && !k.has("rope.scaling.yarn_beta_fast") {
			s["beta_fast"] = 1 // what the model's own configuration says, and older files leave out
		}
		g.latentScaling(s)
		c["rope_scaling"] = s
	}
}

// groupedExperts adds the experts of the DeepSeek line and of GLM-4.
func (g *ggufModel) groupedExperts(c config) {
	k := g.keys
	c["n_routed_experts"], c["num_experts_per_tok"] = k.int("expert_count"), k.int("expert_used_count")
	c["n_shared_experts"] = k.intOr("expert_shared_count", 0)
	c["moe_intermediate_size"] = k.intOr("expert_feed_forward_length", g.expertRows())
	c["first_k_dense_replace"] = k.intOr("leading_dense_block_count", 0)
	c["n_group"], c["topk_group"] = max(1, k.intOr("expert_group_count", 1)), max(1, k.intOr("expert_group_used_count", 1))
	c["routed_scaling_factor"] = k.floatOr("expert_weights_scale", "1")
	c["norm_topk_prob"] = k.boolOr("expert_weights_norm", false)
	if next := k.intOr("nextn_predict_layers", 0); next > 0 {
		layers, _ := c["num_hidden_layers"].(int)
		c["num_hidden_layers"], c["num_nextn_predict_layers"] = layers-next, next
	}
}

func (g *ggufModel) glm4(c config) {
	k := g.keys
	g.heads(c)
	c["model_type"], c["hidden_act"], c["attention_bias"] = "glm4_moe", "silu", g.biased()
	c["use_qk_norm"] = g.has("blk.0.attn_q_norm.weight")
	c["intermediate_size"] = k.int("feed_forward_length")
	g.groupedExperts(c)
	c["norm_topk_prob"] = k.boolOr("expert_weights_norm", true)
	k.only("expert_gating_func", gateSigmoid)
	k.has("expert_shared_feed_forward_length")
}
