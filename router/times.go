package router

import (
	"time"

	"shoal/experts"
)

// Times is where the time of a token went, in milliseconds: of the passes after the first token, over the tokens that they
// made; of the prompt's pass if there were no others.
type Times struct {
	Total  float64 `json:"total"`
	Trunk  float64 `json:"trunk"`  // attention, gates, head, and experts in this process
	Wait   float64 `json:"wait"`   // for experts elsewhere; the next four are those of the peer that each layer waited for last
	Codec  float64 `json:"codec"`  // of that, writing requests and reading answers
	Queue  float64 `json:"queue"`  // of that, in the peer's queue
	Peer   float64 `json:"peer"`   // of that, the peer's experts
	Link   float64 `json:"link"`   // of that, the rest: the network, and what was asked again elsewhere
	Sample float64 `json:"sample"` // drawing tokens
	Guess  float64 `json:"guess"`  // drafting tokens to verify
	Other  float64 `json:"other"`  // showing tokens, undoing guesses
}

// spent is where the time of passes went.
type spent struct {
	forward, wait, sample, guess time.Duration
	of                           experts.Timing // of wait
	peers                        map[string]*peerSpent
}

// peerSpent is one peer's part.
type peerSpent struct {
	calls int64
	wait  time.Duration  // of layers whose last answer was this peer's
	of    experts.Timing // of all its calls
}

func (s *spent) peer(id string) *peerSpent {
	if s.peers == nil {
		s.peers = map[string]*peerSpent{}
	}
	p := s.peers[id]
	if p == nil {
		p = &peerSpent{}
		s.peers[id] = p
	}
	return p
}

// layer notes a layer with experts elsewhere, and whose answer was the last.
func (s *spent) layer(wait time.Duration, last answered) {
	s.wait += wait
	addTiming(&s.of, last.of)
	if last.peer != "" {
		s.peer(last.peer).wait += wait
	}
}

func (s *spent) add(o spent) {
	s.forward += o.forward
	s.wait += o.wait
	s.sample += o.sample
	s.guess += o.guess
	addTiming(&s.of, o.of)
	for id, p := range o.peers {
		q := s.peer(id)
		q.calls += p.calls
		q.wait += p.wait
		addTiming(&q.of, p.of)
	}
}

func addTiming(a *experts.Timing, b experts.Timing) {
	a.Codec += b.Codec
	a.Queue += b.Queue
	a.Compute += b.Compute
}

// answered is a peer's answer.
type answered struct {
	peer string
	at   time.Time
	of   experts.Timing
}

// times is the breakdown for that many tokens in a time.
func (s spent) times(total time.Duration, tokens int) Times {
	per := func(d time.Duration) float64 { return milliseconds(max(d, 0)) / float64(max(tokens, 1)) }
	return Times{
		Total: per(total), Trunk: per(s.forward - s.wait), Wait: per(s.wait),
		Codec: per(s.of.Codec), Queue: per(s.of.Queue), Peer: per(s.of.Compute),
		Link:   per(s.wait - s.of.Codec - s.of.Queue - s.of.Compute),
		Sample: per(s.sample), Guess: per(s.guess), Other: per(total - s.forward - s.sample - s.guess),
	}
}
