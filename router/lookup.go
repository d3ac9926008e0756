package router

import "context"

const (
	longestKey   = 4 // tokens that the index finds a place by
	lookupGrades = 8 // grade g: the latest g+1 tokens stood there before, in the last grade possibly more
)

// Lookup is the [Drafter] of texts that repeat themselves: it looks for the latest earlier place that ended in the same
// tokens as the text does, and guesses what followed there (prompt lookup decoding, Saxena 2023). It works for any model.
type Lookup struct {
	text  []int
	after map[uint64]int // hash of 1 to longestKey tokens -> where the latest place ends that something follows
}

var _ Drafter = (*Lookup)(nil)

// NewLookup returns a Lookup that has seen no text.
func NewLookup() *Lookup { return &Lookup{after: map[uint64]int{}} }

// Prior is a rough mean over prose and code; both are measured within a few lines.
func (l *Lookup) Prior() []float64 {
	return []float64{.1, .2, .35, .5, .6, .7, .75, .8}
}

// Look finds the place, whose next token is the guess.
func (l *Lookup) Look(text []int) (token, grade int) {
	end, length := l.find(text)
	if length == 0 {
		return -1, -1
	}
	return l.text[end], length - 1
}

// Draft copies what follows the place. Where that runs into the text's end it goes on with its own guesses, as a text does
// that repeats a few tokens over and over.
func (l *Lookup) Draft(_ context.Context, text []int, n int, _ *Sampler) ([]int, error) {
	end, length := l.find(text)
	if length == 0 {
		return nil, nil
	}
	out := make([]int, 0, n)
	for at := end; len(out) < n; at++ {
		if at < len(l.text) {
			out = append(out, l.text[at])
		} else {
			out = append(out, out[at-len(l.text)])
		}
	}
	return out, nil
}

// find returns the end of the latest place that ends as the text does, and how many tokens agree, at most lookupGrades;
// none is 0.
func (l *Lookup) find(text []int) (end, length int) {
	l.follow(text)
	for n := min(longestKey, len(text)); n > 0; n-- {
		place, ok := l.after[key(text[len(text)-n:])]
		if !ok {
			continue
		}
		agree := 0
		for agree < min(lookupGrades, place) && text[place-1-agree] == text[len(text)-1-agree] {
			agree++
		}
		if agree >= n { // otherwise two keys have the same hash
			return place, agree
		}
	}
	return 0, 0
}

// follow makes the index that of the text. A text that grew costs its new tokens, beside a comparison with the old.
func (l *Lookup) follow(text []int) {
	if len(text) < len(l.text) || commonPrefix(text, l.text) < len(l.text) {
		l.text = l.text[:0]
		clear(l.after)
	}
	for _, token := range text[len(l.text):] {
		// Only now something follows the tokens before this one.
		for n := 1; n <= min(longestKey, len(l.text)); n++ {
			l.after[key(l.text[len(l.text)-n:])] = len(l.text)
		}
		l.text = append(l.text, token)
	}
}

// key hashes a few tokens and their number (FNV-1a over whole tokens, then a final mix).
func key(tokens []int) uint64 {
	h := uint64(14695981039346656037) + uint64(len(tokens))
	for _, t := range tokens {
		h = (h ^ uint64(t)) * 1099511628211
		h ^= h >> 29
	}
	return h
}

// commonPrefix is the number of tokens that both begin with.
func commonPrefix(a, b []int) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
