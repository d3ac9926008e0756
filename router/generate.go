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

	err := s.generate(ctx, r, &report, clock)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		report.Stopped = "cancelled"
	default:
		report.Stopped = "error"
	}
	clock.fill(&report)
	s.tally.fill(&report)
	report.LawShare = lawShare(report.TokensPerSecond, report.RemoteLayersPerToken, report.RTT)
	return report, err
}

func (s *Session) generate(ctx context.Context, r Request, report *Report, clock *clock) error {
	if err := s.Coverage(); err != nil {
		return err
	}
	sampler := NewSampler(r.Sampling)
	next := r.Prompt
	for len(report.Tokens) < r.MaxTokens {
		logits, err := s.Step(ctx, next)
		if err != nil {
			return err
		}
		token, err := sampler.Sample(logits)
		if err != nil {
			return err
		}
		clock.pass(s.tally.endPass())
		if slices.Contains(r.Stop, token) {
			report.Stopped = "stop"
			return nil
		}
		report.Tokens = append(report.Tokens, token)
		if r.OnToken != nil {
			if err := r.OnToken(token); err != nil {
				return err
			}
		}
		next = []int{token}
	}
	report.Stopped = "length"
	return nil
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

// clock times a generation: the prompt's pass up to the first token, and the passes after it.
type clock struct {
	begin, first, last time.Time
	prompt, decode     passTally
	passes             int64 // after the first token
}

func newClock() *clock { return &clock{begin: time.Now()} }

// pass notes a pass that made a token.
func (c *clock) pass(p passTally) {
	c.last = time.Now()
	if c.first.IsZero() {
		c.first, c.prompt = c.last, p
		return
	}
	c.passes++
	c.decode.remoteLayers += p.remoteLayers
	c.decode.roundTrips += p.roundTrips
}

func (c *clock) fill(r *Report) {
	if c.first.IsZero() {
		return
	}
	r.TimeToFirstToken = milliseconds(c.first.Sub(c.begin))
	counted, passes := c.prompt, int64(1)
	if c.passes > 0 {
		counted, passes = c.decode, c.passes
		r.TokensPerSecond = float64(c.passes) / max(c.last.Sub(c.first).Seconds(), 1e-9)
	} else if len(r.Tokens) > 0 {
		r.TokensPerSecond = float64(len(r.Tokens)) / max(c.first.Sub(c.begin).Seconds(), 1e-9)
	}
	r.RoundTripsPerToken = float64(counted.roundTrips) / float64(passes)
	r.RemoteLayersPerToken = float64(counted.remoteLayers) / float64(passes)
}
