package setup

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"shoal/gpu"
	"shoal/model"
	"shoal/rdrr"
	"shoal/router"
	"shoal/tokenizer"
)

// SpeculationFlags say what is guessed so that several tokens are verified in one pass.
type SpeculationFlags struct {
	Speculate string `default:"auto" placeholder:"auto|off|N" help:"Tokens to guess for a pass: auto (as many as save time), off, or always N. What is said does not depend on it."`
	Draft     string `placeholder:"DIR" help:"Artifact of a small model with the same tokens, to guess with in this process beside what the text repeats."`
}

// speculation is how the sessions of an engine guess.
type speculation struct {
	on     bool
	length int     // 0: as many as save time
	draft  *Engine // nil: no model
}

// Speculate makes the engine's sessions guess as the flags say.
func (e *Engine) Speculate(ctx context.Context, f SpeculationFlags) error {
	switch f.Speculate {
	case "off":
		if f.Draft != "" {
			return errors.New("--draft: nothing is guessed with --speculate off")
		}
		return nil
	case "auto", "":
	default:
		n, err := strconv.Atoi(f.Speculate)
		if err != nil || n < 1 || n > router.MaxDraft {
			return fmt.Errorf("--speculate %q: want auto, off, or a number from 1 to %d", f.Speculate, router.MaxDraft)
		}
		e.guesses.length = n
	}
	e.guesses.on = true
	if f.Draft == "" {
		return nil
	}
	draft, err := openDraft(ctx, e.Device, f.Draft)
	if err != nil {
		return fmt.Errorf("--draft: %w", err)
	}
	e.onClose(draft.Close)
	if err := sameTokens(e.Model, draft.Model); err != nil {
		return fmt.Errorf("--draft %s: %w", f.Draft, err)
	}
	e.guesses.draft = draft
	return nil
}

// openDraft loads a whole model on the device of another.
func openDraft(ctx context.Context, dev gpu.Device, dir string) (_ *Engine, err error) {
	e := &Engine{Device: dev}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if e.Model, err = OpenModel(dir); err != nil {
		return nil, err
	}
	e.onClose(func() { _ = e.Model.Close() })
	if err := e.loadTrunk(); err != nil {
		return nil, err
	}
	if e.config.MoE == nil {
		return e, nil
	}
	return e, e.loadExperts(ctx, e.config.MoE.Layers)
}

// sameTokens reports where the tokens of two models differ: a guess is a number, which must mean the same to both.
func sameTokens(m, draft *rdrr.Model) error {
	var of [2]*tokenizer.Tokenizer
	for i, m := range []*rdrr.Model{m, draft} {
		var err error
		if of[i], err = Tokenizer(m); err != nil {
			return err
		}
	}
	return compareTokens(of[0], of[1])
}

// vocabulary is what a tokenizer calls its tokens.
type vocabulary interface {
	VocabSize() int
	Token(id int) (string, bool)
}

func compareTokens(a, b vocabulary) error {
	for id := range max(a.VocabSize(), b.VocabSize()) {
		x, inA := a.Token(id)
		y, inB := b.Token(id)
		if inA != inB || x != y {
			return fmt.Errorf("its tokens are not the model's: token %d is %s, in the model %s; a draft model needs the same tokenizer", id, named(y, inB), named(x, inA))
		}
	}
	return nil
}

func named(token string, ok bool) string {
	if !ok {
		return "none"
	}
	return strconv.Quote(token)
}

// drafters makes what guesses for a session of that many positions, and the cache of its model, nil without one.
func (e *Engine) drafters(positions int) ([]router.Drafter, *model.Sequence, error) {
	if !e.guesses.on {
		return nil, nil, nil
	}
	list := []router.Drafter{router.NewLookup()}
	draft := e.guesses.draft
	if draft == nil {
		return list, nil, nil
	}
	session, err := draft.NewSession(positions)
	if err != nil {
		return nil, nil, fmt.Errorf("draft model: %w", err)
	}
	return append(list, router.NewModelDrafter(session.Session, e.Trunk.Spec().Vocab)), session.seq, nil
}
