package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Request is a text to continue.
type Request struct {
	Prompt    []int // at least one token, appended to what the sequence holds
	MaxTokens int   // new tokens at most
	Sampling  Sampling
	// Stop are tokens that end the text and are not part of it.
	Stop []int
	// OnToken sees every new token as it is made; an error from it ends the generation.
	OnToken func(token int) error
}

// Generate continues a prompt token by token. The report is filled in also when it fails or ctx ends; the error then says
// why, and the tokens are those made until then.
//
// The sequence holds the prompt and all new tokens except the last.
func (s *Session) Generate(ctx context.Context, r Request) (Report, error) {
	if err := r.validate(); err != nil {
		return Report{Stopped: "error"}, err
	}
	clock := newClock()
	report := Report{PromptTokens: len(r.Prompt), Tokens: []int{}}
	s.tally = &tally{}
	s.guess.begin()

	err := s.generate(ctx, r, &report, clock)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		report.Stopped = "cancelled"
	default:
		report.Stopped = "error"
	}
	s.tally.fill(&report)
	clock.fill(&report)
	s.guess.fill(&report)
	report.LawShare = lawShare(report)
	return report, err
}

func (s *Session) generate(ctx context.Context, r Request, report *Report, clock *clock) error {
	if err := s.Coverage(); err != nil {
		return err
	}
	sampler := NewSampler(r.Sampling)
	next := r.Prompt // what the sequence has not taken yet
	for len(report.Tokens) < r.MaxTokens {
		var draft guess
		started := time.Now()
		if len(report.Tokens) > 0 {
			draft = s.guess.draft(ctx, append(s.text, next...), s.room(r.MaxTokens-len(report.Tokens)), sampler)
			traceOf(ctx).since(started, "guess", -1, len(draft.tokens))
		}
		begin := time.Now()
		logits, draft, err := s.verify(ctx, next, draft)
		if err != nil {
			return err
		}
		verified := time.Now()
		tokens, drawErr := r.draw(sampler, logits, draft.tokens)
		traceOf(ctx).since(verified, "sample", -1, len(tokens))
		if len(tokens) > 0 {
			s.tally.passed(begin.Sub(started), verified.Sub(begin), time.Since(verified))
			clock.pass(s.tally.endPass(), len(tokens))
			if len(report.Tokens) > 0 {
				s.guess.learn(draft, tokens, time.Since(begin).Seconds())
			}
		}
		said, stop, emitErr := r.emit(ctx, tokens, report)
		surplus := len(draft.tokens) - max(said-1, 0) // guesses after the last token said leave the sequence
		if err := errors.Join(emitErr, drawErr, s.Truncate(s.Position()-surplus)); err != nil || stop {
			return err
		}
		next = tokens[len(tokens)-1:]
	}
	report.Stopped = "length"
	return nil
}

// room is how many tokens may be guessed when that many are wanted: the pass makes one more than were right, goes through
// the layers at once, and ends where plain decoding would at the latest.
func (s *Session) room(wanted int) int {
	return min(wanted, s.config.Chunk, s.seq.Capacity()-s.Position()) - 1
}

// verify takes tokens and the guesses after them through the model. It returns the logits [1 + guesses, vocab] after the last
// token and after each guess, and the guesses that are among them: none if they need experts that are lost, as long as the
// token alone may still be tried before the user has waited too long for the news.
func (s *Session) verify(ctx context.Context, next []int, draft guess) ([]float32, guess, error) {
	if len(draft.tokens) == 0 {
		logits, err := s.Step(ctx, next)
		return logits, draft, err
	}
	begin := time.Now()
	logits, err := s.Score(ctx, append(next[:len(next):len(next)], draft.tokens...))
	var missing *MissingError
	if errors.As(err, &missing) && ctx.Err() == nil && time.Since(begin) < 2500*time.Millisecond {
		s.guess.stop()
		draft.tokens = nil
		logits, err = s.Step(ctx, next)
	}
	return logits, draft, err
}

// draw returns the tokens that plain decoding would make of logits [1 + len(draft), vocab]: after each guess that is the token
// drawn before it there is one more. Every token takes its own random number, whether or not it was guessed.
func (r Request) draw(sampler *Sampler, logits []float32, draft []int) (tokens []int, err error) {
	vocab := len(logits) / (1 + len(draft))
	for i := range 1 + len(draft) {
		token, err := sampler.Sample(logits[i*vocab:][:vocab])
		if err != nil {
			return tokens, err
		}
		tokens = append(tokens, token)
		if i == len(draft) || token != draft[i] || slices.Contains(r.Stop, token) {
			break
		}
	}
	return tokens, nil
}

// emit puts tokens into the report and shows them. It returns how many it took, a token that ends the text among them.
func (r Request) emit(ctx context.Context, tokens []int, report *Report) (said int, stop bool, err error) {
	for i, token := range tokens {
		if err := ctx.Err(); err != nil && i > 0 { // the pass of the first was over before
			return i, false, err
		}
		if slices.Contains(r.Stop, token) {
			report.Stopped = "stop"
			return i + 1, true, nil
		}
		report.Tokens = append(report.Tokens, token)
		if r.OnToken != nil {
			if err := r.OnToken(token); err != nil {
				return i + 1, false, err
			}
		}
	}
	return len(tokens), false, nil
}

func (r Request) validate() error {
	errs := []error{r.Sampling.Validate()}
	if len(r.Prompt) == 0 {
		errs = append(errs, errors.New("the prompt has no tokens"))
	}
	if r.MaxTokens < 1 {
		errs = append(errs, fmt.Errorf("max tokens %d: want at least 1", r.MaxTokens))
	}
	return errors.Join(errs...)
}
