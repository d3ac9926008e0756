package model

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"
)

func TestVerifyTellsWhatDiffers(t *testing.T) {
	r := start(t, "qwen3-moe", Options{Rows: 64})
	ctx := context.Background()
	for _, c := range []struct {
		name  string
		spoil func(ref *Reference)
		found func(r *Report) bool
	}{
		{"nothing", func(*Reference) {}, func(r *Report) bool { return r.OK && r.GreedyAgreed == r.GreedyTotal && r.GreedyTotal > 0 }},
		{"logits", func(ref *Reference) { ref.Logits[100] += 3 }, func(r *Report) bool { return !r.OK && r.LogitsNMSE > 1e-6 && r.LogitsMaxError > 2 }},
		{"not a number", func(ref *Reference) { ref.Logits[100] = float32(math.NaN()) }, func(r *Report) bool { return !r.OK && r.LogitsNMSE > 1 }},
		{"a hidden state", func(ref *Reference) { ref.Hidden[2][5] += 3 }, func(r *Report) bool { return !r.OK && r.HiddenNMSE[2] > 1e-6 && r.HiddenNMSE[1] < 1e-6 }},
		{"a route", func(ref *Reference) {
			row := ref.Router[1][:8]
			row[slices.Index(row, slices.Max(row))] = -100
		}, func(r *Report) bool { return !r.OK && r.RouterAgreement == 1-1.0/120 }},
		{"a greedy token", func(ref *Reference) { ref.Greedy[5] = (ref.Greedy[5] + 1) % 320 }, func(r *Report) bool { return !r.OK && r.GreedyAgreed == 5 }},
		{"a greedy token after a near tie", func(ref *Reference) { ref.Greedy[5], ref.Gaps[4] = 0, 0.001 }, func(r *Report) bool { return r.OK && r.GreedyTotal == 4 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ref := reference(t, "../testdata/fixtures-small/qwen3-moe")
			c.spoil(ref)
			report, err := Verify(ctx, subject(r.trunk, r.local), ref, 0)
			if err != nil {
				t.Fatal(err)
			}
			if !c.found(report) {
				t.Errorf("report %+v", *report)
			}
			if _, err := json.Marshal(report); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVerifyUsesTheGeneratorGiven(t *testing.T) {
	r := start(t, "qwen3-moe", Options{Rows: 64})
	sub := subject(r.trunk, r.local)
	sub.Generate = func(_ context.Context, prompt []int, n int) ([]int, error) {
		if !slices.Equal(prompt, r.ref.Inputs) {
			t.Errorf("prompt %v", prompt)
		}
		return r.ref.Greedy[:min(n, 3)], nil
	}
	report, err := Verify(context.Background(), sub, r.ref, 0)
	if err != nil {
		t.Fatal(err)
	}
	if report.GreedyAgreed != 3 || report.OK {
		t.Errorf("report %+v", *report)
	}
}

func TestVerifyRefusesAnotherModelsReference(t *testing.T) {
	r := start(t, "qwen3", Options{Rows: 64})
	for _, other := range []string{"../testdata/fixtures-small/gemma3-1b", "../testdata/fixtures-small/mixtral"} {
		if _, err := Verify(context.Background(), Subject{Trunk: r.trunk}, reference(t, other), 0); err == nil {
			t.Errorf("%s: no error", other)
		}
	}
	if _, err := ReadReference(func(string) []float32 { return nil }); err == nil {
		t.Error("an empty reference: no error")
	}
}

// TestCaptureIsAReference: what a model computed is a reference that it meets.
func TestCaptureIsAReference(t *testing.T) {
	r := start(t, "qwen3-moe", Options{Rows: 8})
	sub := subject(r.trunk, r.local)
	ref, err := Capture(context.Background(), sub, r.ref.Inputs[:19], 5)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Verify(context.Background(), sub, ref, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK || report.LogitsNMSE != 0 || report.WorstHidden != 0 || report.GreedyTotal == 0 {
		t.Errorf("report %+v", *report)
	}
}
