package router

import "context"

// ModelDrafter is the [Drafter] that runs a small model with the same tokens, all of it on this machine.
type ModelDrafter struct {
	session *Session
	vocab   int
}

var _ Drafter = (*ModelDrafter)(nil)

// NewModelDrafter returns a drafter on a session of its own, which it uses alone from now on. vocab is the number of tokens
// of the model that verifies: a token beyond it is no guess.
func NewModelDrafter(s *Session, vocab int) *ModelDrafter { return &ModelDrafter{s, vocab} }

// Prior has one grade for each place in a draft.
func (d *ModelDrafter) Prior() []float64 { return []float64{.6, .6, .6, .6} }

// Look always has a guess as long as there is room for it.
func (d *ModelDrafter) Look(text []int) (token, grade int) {
	if len(text) == 0 || len(text) > d.session.seq.Capacity() {
		return -1, -1
	}
	return -1, 0
}

// Draft catches up with the text and goes on from there.
func (d *ModelDrafter) Draft(ctx context.Context, text []int, n int, draws *Sampler) ([]int, error) {
	s := d.session
	// The last token is fed again if need be: its logits are what counts.
	known := min(commonPrefix(s.text, text), len(text)-1)
	if err := s.Truncate(s.Position() - len(s.text) + known); err != nil {
		return nil, err
	}
	n = min(n, s.seq.Capacity()-len(text)+1)
	next := text[known:]
	var out []int
	for len(out) < n {
		logits, err := s.Step(ctx, next)
		if err != nil {
			return nil, err
		}
		token, err := draws.Sample(logits)
		if err != nil {
			return nil, err
		}
		if token >= d.vocab {
			break
		}
		out = append(out, token)
		next = []int{token}
	}
	return out, nil
}
