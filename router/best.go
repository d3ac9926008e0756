package router

import (
	"context"
	"errors"
)

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
	start, all := s.seq.Position(), tokens
	defer func() {
		if err != nil {
			err = errors.Join(err, s.seq.Truncate(start))
		} else {
			s.text = append(s.text, all...)
		}
	}()
	for ; len(tokens) > s.config.Chunk; tokens = tokens[s.config.Chunk:] {
		if err := s.forward(ctx, tokens[:s.config.Chunk]); err != nil {
			return 0, err
		}
		if err := s.seq.Finish(); err != nil {
			return 0, err
		}
	}
	if err := s.forward(ctx, tokens); err != nil {
		return 0, err
	}
	best, err := chooser.Best(false)
	if err != nil {
		return 0, err
	}
	return best[0], nil
}
