package router

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen from logits. The zero value is greedy.
type Sampling struct {
	Temperature float64 // logits are divided by it; 0 takes the most likely token
	TopK        int     // only the K most likely tokens; 0 keeps all
	TopP        float64 // only the most likely tokens that together reach this probability; 0 and 1 keep all
	Seed        uint64  // of the random numbers: the same seed and logits give the same tokens
}

// Validate reports everything that is out of range.
func (s Sampling) Validate() error {
	var errs []error
	if !(s.Temperature >= 0) || math.IsInf(s.Temperature, 1) {
		errs = append(errs, fmt.Errorf("temperature %v: want 0 (greedy) or more", s.Temperature))
	}
	if s.TopK < 0 {
		errs = append(errs, fmt.Errorf("top-k %d: want 0 (all) or more", s.TopK))
	}
	if !(s.TopP >= 0 && s.TopP <= 1) {
		errs = append(errs, fmt.Errorf("top-p %v: want 0 to 1", s.TopP))
	}
	return errors.Join(errs...)
}

// Sampler draws tokens. It belongs to one session.
type Sampler struct {
	sampling Sampling
	source   *rand.PCG
}

// NewSampler returns a sampler that starts at the seed.
func NewSampler(s Sampling) *Sampler {
	return &Sampler{s, rand.NewPCG(s.Seed, 0x5368_6f61_6c00_0001)}
}

// Sample returns the token drawn from logits [vocab]. It uses one random number for each token, none if greedy.
func (s *Sampler) Sample(logits []float32) (int, error) {
	if s.sampling.Temperature == 0 {
		return argmax(logits)
	}
	return choose(logits, s.sampling, rand.New(s.source).Float64())
}

// fork returns a sampler that will draw with the same random numbers.
func (s *Sampler) fork() *Sampler {
	source := *s.source
	return &Sampler{s.sampling, &source}
}

// argmax returns the lowest index of the largest logit.
func argmax(logits []float32) (int, error) {
	best := -1
	for i, v := range logits {
		if v == v && (best < 0 || v > logits[best]) {
			best = i
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("sampling: none of %d logits is a number", len(logits))
	}
	return best, nil
}

type weighted struct {
	token int
	p     float64 // relative to the most likely token, so 1 for that
}

// choose returns the token at point u of [0, 1) along the probabilities that temperature, top-k and top-p leave, in this
// order. With top-k or top-p the tokens lie most likely first, lower ids first among equals; otherwise by id.
func choose(logits []float32, s Sampling, u float64) (int, error) {
	top, err := argmax(logits)
	if err != nil {
		return 0, err
	}
	tokens := make([]weighted, 0, len(logits))
	peak := float64(logits[top])
	total := 0.0
	for i, v := range logits {
		p := 1.0
		if float64(v) != peak {
			p = math.Exp((float64(v) - peak) / s.Temperature)
		}
		if p > 0 { // also drops NaN
			tokens = append(tokens, weighted{i, p})
			total += p
		}
	}
	if s.TopK > 0 && s.TopK < len(tokens) {
		tokens = likeliest(tokens, s.TopK)
		total = mass(tokens)
	}
	if s.TopP > 0 && s.TopP < 1 {
		tokens = nucleus(tokens, s.TopP*total)
		total = mass(tokens)
	}
	point := u * total
	for _, t := range tokens {
		if point -= t.p; point < 0 {
			return t.token, nil
		}
	}
	return tokens[len(tokens)-1].token, nil
}

// nucleus returns the shortest list of likeliest tokens that reaches the given mass (Holtzman et al. 2020).
// It sorts no more of the vocabulary than it has to.
func nucleus(tokens []weighted, want float64) []weighted {
	for n := min(256, len(tokens)); ; n = min(8*n, len(tokens)) {
		sum := 0.0
		head := likeliest(tokens, n)
		for i, t := range head {
			if sum += t.p; sum >= want {
				return head[:i+1]
			}
		}
		if n == len(tokens) {
			return head
		}
	}
}

// likeliest returns the n likeliest tokens in order.
func likeliest(tokens []weighted, n int) []weighted {
	// A heap of the best so far, the worst of them on top.
	heap := make([]weighted, 0, n)
	for _, t := range tokens {
		switch {
		case len(heap) < n:
			heap = append(heap, t)
			if len(heap) == n {
				for i := n/2 - 1; i >= 0; i-- {
					sink(heap, i)
				}
			}
		case byLikelihood(t, heap[0]) < 0:
			heap[0] = t
			sink(heap, 0)
		}
	}
	slices.SortFunc(heap, byLikelihood)
	return heap
}

func sink(heap []weighted, i int) {
	for {
		worst := i
		for _, c := range []int{2*i + 1, 2*i + 2} {
			if c < len(heap) && byLikelihood(heap[c], heap[worst]) > 0 {
				worst = c
			}
		}
		if worst == i {
			return
		}
		heap[i], heap[worst] = heap[worst], heap[i]
		i = worst
	}
}

func byLikelihood(a, b weighted) int {
	return cmp.Or(cmp.Compare(b.p, a.p), cmp.Compare(a.token, b.token))
}

func mass(tokens []weighted) float64 {
	sum := 0.0
	for _, t := range tokens {
		sum += t.p
	}
	return sum
}
