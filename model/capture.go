package model

import (
	"context"
	"fmt"
	"slices"
)

// Capture runs inputs through a subject and returns what it computed as a reference for others: logits, hidden states,
// and greedy tokens with their gaps. Its Generate and Chunk are not used.
func Capture(ctx context.Context, sub Subject, inputs []int, greedy int) (*Reference, error) {
	seq, err := sub.Trunk.NewSequence(len(inputs) + greedy)
	if err != nil {
		return nil, err
	}
	defer seq.Close()
	v, spec := verification{sub: sub}, sub.Trunk.spec
	r := &Reference{Inputs: inputs, Hidden: make([][]float32, len(spec.Layers)+1)}
	step := func(tokens []int, hidden func(i int, read func() ([]float32, error)) error) ([]float32, error) {
		if err := seq.Embed(tokens); err != nil {
			return nil, err
		}
		for l := range spec.Layers {
			if err := hidden(l, seq.Hidden); err != nil {
				return nil, err
			}
			if _, err := v.layer(ctx, seq, l); err != nil {
				return nil, fmt.Errorf("layer %d: %w", l, err)
			}
		}
		if err := hidden(len(spec.Layers), seq.Normed); err != nil {
			return nil, err
		}
		return seq.Logits(true)
	}
	for tokens := range slices.Chunk(inputs, sub.Trunk.rows) {
		logits, err := step(tokens, func(i int, read func() ([]float32, error)) error {
			rows, err := read()
			r.Hidden[i] = append(r.Hidden[i], rows...)
			return err
		})
		if err != nil {
			return nil, err
		}
		r.Logits = append(r.Logits, logits...)
	}
	row := r.Logits[len(r.Logits)-spec.Vocab:]
	for range greedy {
		best, gap := bestAndGap(row)
		r.Greedy, r.Gaps = append(r.Greedy, best), append(r.Gaps, gap)
		if row, err = step([]int{best}, func(int, func() ([]float32, error)) error { return nil }); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// bestAndGap is the index of the largest value and its distance to the second largest.
func bestAndGap(row []float32) (best int, gap float32) {
	best = largest(row)
	second := -1
	for i, x := range row {
		if i != best && (second < 0 || x > row[second]) {
			second = i
		}
	}
	if second < 0 {
		return best, 0
	}
	return best, row[best] - row[second]
}
