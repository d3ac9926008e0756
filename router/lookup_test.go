package router

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestLookup(t *testing.T) {
	for _, tt := range []struct {
		name  string
		text  []int
		n     int
		grade int
		want  []int
	}{
		{"nothing", nil, 3, -1, nil},
		{"one token", []int{1}, 3, -1, nil},
		{"no repetition", []int{1, 2, 3, 4}, 3, -1, nil},
		{"one token again", []int{1, 2, 3, 1}, 2, 0, []int{2, 3}},
		{"what follows runs into the end", []int{1, 2, 3, 1}, 8, 0, []int{2, 3, 1, 2, 3, 1, 2, 3}},
		{"one token over and over", []int{7, 7, 7}, 4, 1, []int{7, 7, 7, 7}},
		{"the longest match wins", []int{1, 2, 3, 10, 9, 3, 11, 1, 2, 3}, 2, 2, []int{10, 9}},
		{"the latest of equal matches wins", []int{1, 2, 10, 1, 2, 11, 1, 2}, 1, 1, []int{11}},
		{"a match longer than the index", []int{1, 2, 3, 4, 5, 6, 9, 1, 2, 3, 4, 5, 6}, 1, 5, []int{9}},
		{"no grade is above the last", append([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 1, 7, []int{0}},
	} {
		l := NewLookup()
		token, grade := l.Look(tt.text)
		got, err := l.Draft(t.Context(), tt.text, tt.n, nil)
		if err != nil || grade != tt.grade || !slices.Equal(got, tt.want) {
			t.Errorf("%s: grade %d, %v, %v; want %d, %v", tt.name, grade, got, err, tt.grade, tt.want)
		}
		if grade >= 0 && token != tt.want[0] || grade < 0 && token != -1 {
			t.Errorf("%s: first guess %d", tt.name, token)
		}
	}
}

// The index of a text that grew, shrank or changed answers as one made anew.
func TestLookupForgets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	l := NewLookup()
	var text []int
	for range 400 {
		switch {
		case rng.IntN(8) == 0:
			text = text[:rng.IntN(len(text)+1)]
		case rng.IntN(16) == 0 && len(text) > 0:
			text = slices.Clone(text)
			text[rng.IntN(len(text))] = rng.IntN(4)
		}
		for range 1 + rng.IntN(5) {
			text = append(text, rng.IntN(4))
		}
		got, _ := l.Draft(t.Context(), text, 6, nil)
		want, _ := NewLookup().Draft(t.Context(), text, 6, nil)
		_, grade := l.Look(text)
		_, wantGrade := NewLookup().Look(text)
		if !slices.Equal(got, want) || grade != wantGrade {
			t.Fatalf("%v: %v of grade %d, made anew %v of %d", text, got, grade, want, wantGrade)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	text := uniformText(rng, 10000+b.N)
	l := NewLookup()
	l.Look(text[:10000])
	b.ResetTimer()
	for i := range b.N {
		l.Look(text[:10000+i])
	}
}
