package router

import (
	"context"
	"time"
)

// speculation decides for a session what is guessed, and keeps what was learnt of its text and its passes.
//
// Guesses that cost nothing are scored against the text also when they are not sent, so that a text that begins to repeat
// itself is noticed without a try. What tries cost is bounded by a credit.
type speculation struct {
	drafters []*drafting
	length   int // > 0: always that many guesses
	time     passTime
	credit   float64 // seconds that guesses may lose; see allowance

	drafted, accepted int64 // of the generation under way
	failed            error // the latest of a drafter
}

// drafting is a drafter with its record.
type drafting struct {
	Drafter
	odds  odds
	token int // what it would guess next, -1 if unknown
	grade int // -1: nothing

	cost  float64 // seconds for each guess
	drew  bool    // it made guesses in this generation
	quiet bool    // not to be asked any more
}

const (
	// allowance is the share of the time that guesses may lose, when their expected gain does not come. With the first
	// credit it bounds the loss on a text that never repeats.
	allowance   = .02
	firstCredit = 1 // passes
	mostCredit  = 4 // passes, however much was gained
	// courtesy is what a guess costs at least, as a share of a pass: where the wait is all in the network a row costs the
	// session nothing, but the peers their time.
	courtesy = .01
)

func newSpeculation(drafters []Drafter, length int) *speculation {
	s := &speculation{length: min(length, MaxDraft)}
	for _, d := range drafters {
		s.drafters = append(s.drafters, &drafting{Drafter: d, odds: newOdds(d.Prior())})
	}
	return s
}

// begin starts a generation.
func (s *speculation) begin() {
	s.drafted, s.accepted, s.failed = 0, 0, nil
	for _, d := range s.drafters {
		d.drew, d.quiet = false, false
	}
}

// guess is what a pass verifies.
type guess struct {
	tokens  []int
	by      *drafting // nil: nobody guessed
	seconds float64   // that guessing took
}

// draft guesses at most n tokens, none if that promises no gain.
func (s *speculation) draft(ctx context.Context, text []int, n int, sampler *Sampler) guess {
	best, length := s.choose(text, min(n, MaxDraft))
	if length == 0 {
		return guess{}
	}
	start := time.Now()
	tokens, err := best.Draft(ctx, text, length, sampler.fork())
	took := time.Since(start).Seconds()
	if err != nil {
		best.quiet = true
		if ctx.Err() == nil {
			s.failed = err
		}
		return guess{by: best, seconds: took}
	}
	if !best.drew { // it read the prompt, which says nothing of further guesses
		best.drew = true
		return guess{tokens: tokens, by: best}
	}
	if len(tokens) > 0 {
		perToken := took / float64(len(tokens))
		if best.cost > 0 {
			perToken = min(perToken, outlier*best.cost)
			perToken = best.cost + .2*(perToken-best.cost)
		}
		best.cost = perToken
	}
	return guess{tokens: tokens, by: best, seconds: took}
}

// choose looks at all drafters and returns the one that promises most, with the number of guesses.
func (s *speculation) choose(text []int, n int) (best *drafting, length int) {
	gain := 1.0
	for _, d := range s.drafters {
		if d.token, d.grade = -1, -1; d.quiet {
			continue
		}
		if d.token, d.grade = d.Look(text); d.grade < 0 || n <= 0 {
			continue
		}
		if s.length > 0 {
			if best == nil {
				best, length = d, min(n, s.length)
			}
			continue
		}
		if l, g := s.worth(d, n); g > gain {
			best, length, gain = d, l, g
		}
	}
	return best, length
}

// worth is how many guesses of a drafter to verify, and the gain in speed that they promise.
func (s *speculation) worth(d *drafting, n int) (length int, gain float64) {
	if !s.time.known() {
		return 0, 1
	}
	c := s.time.line
	c.perRow = max(c.perRow, courtesy*c.base) + d.cost
	n = min(n, s.time.next())
	if c.perRow > 0 {
		n = min(n, int(max(s.credit, 0)/c.perRow))
	}
	return draftLength(d.odds.draft(d.grade, n), c)
}

// learn notes what became of a pass: tokens are those that it made, in that many seconds without the guessing.
func (s *speculation) learn(g guess, tokens []int, seconds float64) {
	accepted := len(tokens) - 1
	s.drafted += int64(len(g.tokens))
	s.accepted += int64(accepted)
	for _, d := range s.drafters {
		d.odds.pass()
		d.cost *= keepSlope // as what a row costs, it is measured again some day
		switch {
		case d.grade < 0:
		case d == g.by && len(g.tokens) > 0:
			for j := range accepted {
				d.odds.observe(d.odds.at(d.grade, j), true)
			}
			if accepted < len(g.tokens) && tokens[accepted] != g.tokens[accepted] {
				d.odds.observe(d.odds.at(d.grade, accepted), false)
			}
		case d.token >= 0:
			d.odds.observe(d.grade, d.token == tokens[0])
		}
	}
	if !s.time.known() {
		s.credit = firstCredit * seconds
	}
	seconds = s.time.add(len(g.tokens), seconds)
	base := s.time.line.base
	s.credit += allowance * seconds
	if g.by != nil {
		s.credit += float64(len(tokens))*base - seconds - g.seconds
	}
	s.credit = min(max(s.credit, -base), mostCredit*base)
}

// fill writes the generation's part of a report.
func (s *speculation) fill(r *Report) {
	r.Drafted, r.Accepted = s.drafted, s.accepted
	if s.failed != nil {
		r.DraftError = s.failed.Error()
	}
}

// stop ends guessing for this generation.
func (s *speculation) stop() {
	for _, d := range s.drafters {
		d.quiet = true
	}
}
