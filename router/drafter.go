package router

import "context"

// Drafter guesses how a text goes on, so that a pass can verify several tokens at once. A guess decides only how long a text
// takes: what is kept of it is what plain decoding would have said.
//
// What a Drafter answers depends on its arguments alone; what it remembers of earlier calls is only to answer sooner. It
// belongs to one session, and keeps none of its arguments.
type Drafter interface {
	// Prior gives for each grade of a guess how often it is right as long as nothing is measured. The grade says how good a
	// guess promises to be; the guess after one that was right has the next grade, or the last.
	Prior() []float64
	// Look tells, in no time, the grade of what Draft would guess to follow the text; -1 if it would guess nothing. token is
	// the first guess if that takes no time either, otherwise -1.
	Look(text []int) (token, grade int)
	// Draft guesses at most n tokens. draws is a copy of the sampler that will verify them: a Drafter that has logits uses it
	// to draw from them with the random numbers of the verification. With an error it is not asked again.
	Draft(ctx context.Context, text []int, n int, draws *Sampler) ([]int, error)
}
