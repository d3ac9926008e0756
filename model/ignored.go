package model

import "strings"

// withoutEffect are config fields that are known and do not change what is computed here: training settings, defaults for
// sampling (which generation_config.json carries), storage, and switches of other programs.
var withoutEffect = set(`
	_attn_implementation _attn_implementation_autoset _name_or_path architectures auto_map transformers_version model_type name_or_path
	torch_dtype dtype use_cache cache_implementation quantization_config is_decoder is_encoder_decoder add_cross_attention
	cross_attention_hidden_size tie_encoder_decoder torchscript use_bfloat16 tf_legacy_loss return_dict chunk_size_feed_forward
	output_attentions output_hidden_states output_router_logits output_past pretraining_tp ep_size tp_size prefix

	initializer_range initializer_factor initializer_cutoff_factor attention_dropout hidden_dropout hidden_dropout_prob embd_pdrop resid_pdrop
	classifier_dropout attn_pdrop router_aux_loss_coef aux_loss_alpha seq_aux router_z_loss_coef input_jitter_noise
	gradient_checkpointing finetuning_task problem_type task_specific_params pruned_heads id2label label2id num_labels
	use_return_dict loss_type pad_token_id bos_token_id eos_token_id unk_token_id sep_token_id decoder_start_token_id
	tokenizer_class bad_words_ids begin_suppress_tokens suppress_tokens forced_bos_token_id forced_eos_token_id

	do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty
	length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences remove_invalid_values min_length
	max_length max_new_tokens exponential_decay_length_penalty

	num_nextn_predict_layers
`)

// metadata reports whether a field of that name can only describe the checkpoint or its training. Such a field is passed
// over with a warning when it is not known.
func metadata(name string) bool {
	if strings.HasPrefix(name, "_") {
		return true
	}
	for _, part := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '_' || r == '.' || r == '-' }) {
		if metadataWords[part] {
			return true
		}
	}
	return false
}

// metadataWords mark a field as a description when one of them is a word of its name.
var metadataWords = set(`
	comment comments description author authors license version url homepage note notes date created
	dropout initializer init loss training train trainer tokenizer dtype unsloth transformers
`)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}
