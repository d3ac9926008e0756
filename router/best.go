package router

import "context"

// chooser is a Sequence that finds the best token where the logits are, so that only its number is read back.
type chooser interface {
	// Best ends a step as Logits does.
	Best(all bool) ([]int, error)
}

// Best takes tokens through the model, as Step does, and returns the token with the largest logit after the last of them: what a
// greedy [Sampler] would choose. Where the sequence can, the logits stay on its device.
func (s *Session) Best(ctx context.Context, tokens []int) (token int, err error) {
	chooser, ok := s.seq.(chooser)
	if !ok {
		logits, err := s.Step(ctx, tokens)
		if err != nil {
			return 0, err
		}
		return argmax(logits)
	}
	err = s.step(ctx, tokens, func() error {
		best, err := chooser.Best(false)
		if err == nil {
			token = best[0]
		}
		return err
	})
	return token, err
}
