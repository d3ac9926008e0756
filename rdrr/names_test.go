package rdrr_test

import (
	"testing"

	"shoal/rdrr"
)

func TestCanonicalName(t *testing.T) {
	for _, c := range []struct {
		published, want string
		role            rdrr.Role
	}{
		{"model.embed_tokens.weight", "model.embed_tokens.weight", rdrr.RoleEmbedding},
		{"lm_head.weight", "lm_head.weight", rdrr.RoleHead},
		{"lm_head.bias", "lm_head.bias", rdrr.RoleVector},
		{"language_model.model.norm.weight", "model.norm.weight", rdrr.RoleNorm},
		{"model.language_model.layers.3.self_attn.q_proj.weight", "model.layers.3.self_attn.q_proj.weight", rdrr.RoleMatrix},
		{"layers.0.self_attn.sinks", "model.layers.0.self_attn.sinks", rdrr.RoleVector},
		{"model.layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.q_norm.weight", rdrr.RoleNorm},
		{"model.layers.2.block_sparse_moe.gate.weight", "model.layers.2.mlp.gate.weight", rdrr.RoleRouter},
		{"model.layers.2.mlp.router.weight", "model.layers.2.mlp.gate.weight", rdrr.RoleRouter},
		{"model.layers.2.mlp.router.bias", "model.layers.2.mlp.gate.bias", rdrr.RoleVector},
		{"model.layers.2.mlp.gate.e_score_correction_bias", "model.layers.2.mlp.gate.e_score_correction_bias", rdrr.RoleVector},
		{"model.layers.2.block_sparse_moe.experts.10.w1.weight", "model.layers.2.mlp.experts.10.gate_proj.weight", rdrr.RoleExpert},
		{"model.layers.2.block_sparse_moe.experts.10.w3.weight", "model.layers.2.mlp.experts.10.up_proj.weight", rdrr.RoleExpert},
		{"model.layers.2.block_sparse_moe.experts.10.w2.weight", "model.layers.2.mlp.experts.10.down_proj.weight", rdrr.RoleExpert},
		{"model.layers.1.mlp.shared_experts.up_proj.weight", "model.layers.1.mlp.shared_expert.up_proj.weight", rdrr.RoleMatrix},
		{"model.layers.1.mlp.shared_expert_gate.weight", "model.layers.1.mlp.shared_expert_gate.weight", rdrr.RoleRouter},
		{"model.layers.1.mlp.gate_proj.weight", "model.layers.1.mlp.gate_proj.weight", rdrr.RoleMatrix},
	} {
		got, keep := rdrr.CanonicalName(c.published)
		if got != c.want || !keep || rdrr.RoleOf(got) != c.role {
			t.Errorf("%s becomes %s (%v) of role %s, want %s of role %s", c.published, got, keep, rdrr.RoleOf(got), c.want, c.role)
		}
		if again, _ := rdrr.CanonicalName(got); again != got {
			t.Errorf("%s is canonical, yet becomes %s", got, again)
		}
	}
	for _, published := range []string{"vision_tower.x", "model.vision_tower.x", "multi_modal_projector.x", "model.visual.x", "model.layers.0.self_attn.rotary_emb.inv_freq"} {
		if got, keep := rdrr.CanonicalName(published); keep {
			t.Errorf("%s is kept as %s", published, got)
		}
	}
}

func TestSplitExpertName(t *testing.T) {
	name := rdrr.ExpertTensor(12, 127, rdrr.DownBias)
	if l, e, p, ok := rdrr.SplitExpertName(name); !ok || l != 12 || e != 127 || p != rdrr.DownBias {
		t.Errorf("%s is layer %d expert %d %s, %v", name, l, e, p, ok)
	}
	for _, name := range []string{
		"model.layers.1.mlp.gate_proj.weight", "model.layers.1.mlp.experts.gate_up_proj", "model.layers.1.mlp.experts.01.up_proj.weight",
		"model.layers.1.mlp.experts.-1.up_proj.weight", "model.layers.99999999999.mlp.experts.1.up_proj.weight", "model.layers.1.mlp.experts.1.w1",
	} {
		if _, _, _, ok := rdrr.SplitExpertName(name); ok {
			t.Errorf("%s is taken for an expert's tensor", name)
		}
	}
}
