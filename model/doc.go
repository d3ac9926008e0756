// Package model computes the trunk of a language model: embedding, norms, attention with its KV cache, router gates, shared
// and dense FFNs, head. Everything except the routed experts, which a caller runs where they are held.
//
// [Parse] turns a checkpoint's config.json into a [Spec], the architecture described by data: one file per family
// (qwen3_moe.go, deepseek.go, ...) reads that family's fields, all families share the blocks of attention.go, mla.go and
// ffn.go. [Load] puts an artifact's weights on a device, and [Trunk.NewSequence] makes a [Sequence], whose methods are the
// steps of one forward pass:
//
//	s.Embed(tokens)
//	for layer := range spec.Layers {
//		s.Attend(layer)
//		if spec.Layers[layer].MoE == nil {
//			s.FFN(layer)
//		} else {
//			s.Experts(layer, local)              // all experts on this device, nothing is read back; or
//			h, routes, err := s.Route(layer)     // ... h goes to the holders of routes.Experts,
//			s.Combine(layer, y)                  // ... their answers come back
//		}
//	}
//	logits := s.Logits(false)
//
// The package refuses what it does not know: an unknown architecture, a field value that it does not implement, or a field
// that might change the result is an error of Parse that names it. It opens no files and no connections, and knows no text.
package model
