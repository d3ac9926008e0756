package model

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Reference is what a trusted implementation computed from the same weights.
type Reference struct {
	Inputs []int
	Logits []float32 // [len(Inputs), vocab]
	// Hidden are the residual streams [len(Inputs), hidden]: after the embedding, then after each layer, but the last one after
	// the final norm. May be empty.
	Hidden [][]float32
	// Router are the router's scores [len(Inputs), experts] of each MoE layer, in order. May be empty.
	Router [][]float32
	// Greedy continues Inputs with the best token each time, Gaps says by how much it was better than the second.
	Greedy []int
	Gaps   []float32
}

// ReadReference gathers a reference from named tensors: input_ids, logits, hidden.0 and so on, router_logits.0 and so on,
// greedy, greedy_gap. tensor returns nil for a name that is not there.
func ReadReference(tensor func(name string) []float32) (*Reference, error) {
	r := &Reference{Logits: tensor("logits"), Gaps: tensor("greedy_gap")}
	for _, v := range tensor("input_ids") {
		r.Inputs = append(r.Inputs, int(v))
	}
	for _, v := range tensor("greedy") {
		r.Greedy = append(r.Greedy, int(v))
	}
	for i := 0; ; i++ {
		h := tensor(fmt.Sprintf("hidden.%d", i))
		if h == nil {
			break
		}
		r.Hidden = append(r.Hidden, h)
	}
	for i := 0; ; i++ {
		s := tensor(fmt.Sprintf("router_logits.%d", i))
		if s == nil {
			break
		}
		r.Router = append(r.Router, s)
	}
	if len(r.Inputs) == 0 || len(r.Logits) == 0 {
		return nil, fmt.Errorf("reference: input_ids and logits are wanted")
	}
	if len(r.Gaps) != 0 && len(r.Gaps) != len(r.Greedy) {
		return nil, fmt.Errorf("reference: %d greedy tokens with %d gaps", len(r.Greedy), len(r.Gaps))
	}
	return r, nil
}

// Report compares a model with a [Reference].
type Report struct {
	OK     bool   `json:"ok"`
	Device string `json:"device"`
	// NMSE is the mean squared error divided by the reference's mean square.
	LogitsNMSE     float64   `json:"logits_nmse"`
	LogitsMaxError float64   `json:"logits_max_error"`
	HiddenNMSE     []float64 `json:"hidden_nmse,omitempty"`
	HiddenMaxError []float64 `json:"hidden_max_error,omitempty"`
	WorstHidden    float64   `json:"worst_hidden_nmse"`
	// Shares of rows: with the same best token, and with the same experts in a MoE layer.
	Top1Agreement   float64 `json:"top1_agreement"`
	RouterAgreement float64 `json:"router_agreement"`
	// GreedyTotal is the number of reference tokens before the first whose gap is under the tolerance.
	GreedyAgreed int     `json:"greedy_agreed"`
	GreedyTotal  int     `json:"greedy_total"`
	Tolerance    float64 `json:"tolerance"`
}

// Subject is what [Verify] looks at.
type Subject struct {
	Trunk *Trunk
	// Experts runs the routed experts of a layer that was routed: it ends in Combine, CombineSum or Experts. Nil for a dense model.
	Experts func(ctx context.Context, s *Sequence, layer int, h []float32, r Routes) error
	// Generate continues a prompt greedily with n tokens; nil runs the trunk itself, token by token.
	Generate func(ctx context.Context, prompt []int, n int) ([]int, error)
	// Chunk is how many tokens are fed per step, 0 for as many as the trunk takes.
	Chunk int
}

// Tolerances of [Verify].
const (
	DefaultTolerance = 1e-6 // NMSE of float32 arithmetic in another order
	greedyGap        = 0.01 // under this gap between best and second logit, either may win
	nearTie          = 1e-4 // relative difference under which the last chosen and the first left out expert may change places
)

// Verify runs the reference's inputs through the subject and compares. tolerance is the NMSE allowed for logits and every
// hidden state, 0 for [DefaultTolerance].
func Verify(ctx context.Context, sub Subject, ref *Reference, tolerance float64) (*Report, error) {
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	info := sub.Trunk.dev.Info()
	v := &verification{sub: sub, ref: ref, Report: Report{Device: info.Backend + ": " + info.Name, Tolerance: tolerance}}
	if err := v.sizes(); err != nil {
		return nil, err
	}
	if err := v.forward(ctx); err != nil {
		return nil, err
	}
	if err := v.greedy(ctx); err != nil {
		return nil, err
	}
	v.judge()
	return &v.Report, nil
}

type verification struct {
	Report
	sub Subject
	ref *Reference

	hidden        []squares // per entry of ref.Hidden
	logits        squares
	sameBest      int
	routed, agree int
}

// sizes checks the reference against the model.
func (v *verification) sizes() error {
	s, n := v.sub.Trunk.spec, len(v.ref.Inputs)
	if len(v.ref.Logits) != n*s.Vocab {
		return fmt.Errorf("reference: %d logits for %d tokens of a vocabulary of %d", len(v.ref.Logits), n, s.Vocab)
	}
	if h := v.ref.Hidden; len(h) != 0 && len(h) != len(s.Layers)+1 {
		return fmt.Errorf("reference: %d hidden states for %d layers", len(h), len(s.Layers))
	}
	for i, h := range v.ref.Hidden {
		if len(h) != n*s.Hidden {
			return fmt.Errorf("reference: hidden.%d has %d values, want %d rows of %d", i, len(h), n, s.Hidden)
		}
	}
	moe := s.MoE()
	if len(v.ref.Router) == 0 {
		return nil
	}
	if moe == nil || len(v.ref.Router) != len(moe.Layers) {
		return fmt.Errorf("reference: router_logits of %d layers, which are not the model's MoE layers", len(v.ref.Router))
	}
	for i, r := range v.ref.Router {
		if len(r) != n*moe.Experts {
			return fmt.Errorf("reference: router_logits.%d has %d values, want %d rows of %d", i, len(r), n, moe.Experts)
		}
	}
	return nil
}

// forward feeds the inputs in chunks and compares what every layer makes of them.
func (v *verification) forward(ctx context.Context) error {
	seq, err := v.sub.Trunk.NewSequence(len(v.ref.Inputs))
	if err != nil {
		return err
	}
	defer seq.Close()
	v.hidden = make([]squares, len(v.ref.Hidden))
	chunk := v.sub.Trunk.rows
	if v.sub.Chunk > 0 {
		chunk = min(chunk, v.sub.Chunk)
	}
	for tokens := range slices.Chunk(v.ref.Inputs, chunk) {
		if err := v.chunk(ctx, seq, tokens); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) chunk(ctx context.Context, seq *Sequence, tokens []int) error {
	start, s := seq.position, v.sub.Trunk.spec
	if err := seq.Embed(tokens); err != nil {
		return err
	}
	bank := 0
	for l := range s.Layers {
		if err := v.compareHidden(l, start, seq.Hidden); err != nil {
			return err
		}
		routes, err := v.layer(ctx, seq, l)
		if err != nil {
			return err
		}
		if s.Layers[l].MoE != nil {
			v.compareRoutes(bank, start, s.Layers[l].MoE, routes)
			bank++
		}
	}
	if err := v.compareHidden(len(s.Layers), start, seq.Normed); err != nil {
		return err
	}
	logits, err := seq.Logits(true)
	if err != nil {
		return err
	}
	for i := range tokens {
		row := logits[i*s.Vocab : (i+1)*s.Vocab]
		want := v.ref.Logits[(start+i)*s.Vocab : (start+i+1)*s.Vocab]
		v.logits.add(row, want)
		if largest(row) == largest(want) {
			v.sameBest++
		}
	}
	return nil
}

// layer runs one layer; routes is empty for a dense one.
func (v *verification) layer(ctx context.Context, seq *Sequence, l int) (routes Routes, err error) {
	if err := seq.Attend(l); err != nil {
		return routes, err
	}
	if v.sub.Trunk.spec.Layers[l].MoE == nil {
		return routes, seq.FFN(l)
	}
	h, routes, err := seq.Route(l)
	if err != nil {
		return routes, err
	}
	if v.sub.Experts == nil {
		return routes, fmt.Errorf("layer %d has routed experts, and nobody runs them", l)
	}
	return routes, v.sub.Experts(ctx, seq, l, h, routes)
}

func (v *verification) compareHidden(i, start int, read func() ([]float32, error)) error {
	if len(v.hidden) == 0 {
		return nil
	}
	got, err := read()
	if err != nil {
		return err
	}
	at := start * v.sub.Trunk.spec.Hidden
	v.hidden[i].add(got, v.ref.Hidden[i][at:at+len(got)])
	return nil
}

// compareRoutes compares the chosen experts, as sets, with the best of the reference's scores: all gates choose by score, but
// those with a selection bias or groups, which the scores do not tell.
func (v *verification) compareRoutes(bank, start int, m *MoE, r Routes) {
	if len(v.ref.Router) == 0 || m.SelectionBias || m.Gate.Groups > 1 {
		return
	}
	for i := range len(r.Experts) / r.K {
		at := (start + i) * m.Experts
		v.routed++
		if sameChoice(r.Experts[i*r.K:(i+1)*r.K], v.ref.Router[bank][at:at+m.Experts]) {
			v.agree++
		}
	}
}

// sameChoice tells whether the chosen experts are the best by score, where experts of all but equal score are exchangeable.
func sameChoice(chosen []uint32, scores []float32) bool {
	sorted := slices.Clone(scores)
	slices.Sort(sorted)
	least := sorted[len(sorted)-len(chosen)]
	slack := nearTie * float32(math.Abs(float64(least)))
	for _, e := range chosen {
		if scores[e] < least-slack {
			return false
		}
	}
	return true
}

// greedy continues the inputs and compares up to the first token that was nearly a tie.
func (v *verification) greedy(ctx context.Context) error {
	total := len(v.ref.Greedy)
	for i, gap := range v.ref.Gaps {
		if gap < greedyGap {
			total = i
			break
		}
	}
	v.GreedyTotal = total
	if total == 0 {
		return nil
	}
	generate := v.sub.Generate
	if generate == nil {
		generate = v.generate
	}
	got, err := generate(ctx, v.ref.Inputs, total)
	if err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	for v.GreedyAgreed < min(total, len(got)) && got[v.GreedyAgreed] == v.ref.Greedy[v.GreedyAgreed] {
		v.GreedyAgreed++
	}
	return nil
}

func (v *verification) generate(ctx context.Context, prompt []int, n int) ([]int, error) {
	seq, err := v.sub.Trunk.NewSequence(len(prompt) + n)
	if err != nil {
		return nil, err
	}
	defer seq.Close()
	var out []int
	feed := prompt
	for len(out) < n {
		chunk := feed[:min(len(feed), v.sub.Trunk.rows)]
		feed = feed[len(chunk):]
		if err := seq.Embed(chunk); err != nil {
			return nil, err
		}
		for l := range v.sub.Trunk.spec.Layers {
			if _, err := v.layer(ctx, seq, l); err != nil {
				return nil, err
			}
		}
		best, err := seq.Best(false)
		if err != nil {
			return nil, err
		}
		if len(feed) == 0 {
			out = append(out, best[0])
			feed = best
		}
	}
	return out, nil
}

func (v *verification) judge() {
	v.LogitsNMSE, v.LogitsMaxError = v.logits.nmse(), v.logits.worst
	v.Top1Agreement = float64(v.sameBest) / float64(len(v.ref.Inputs))
	v.RouterAgreement = 1
	if v.routed > 0 {
		v.RouterAgreement = float64(v.agree) / float64(v.routed)
	}
	for _, h := range v.hidden {
		v.HiddenNMSE = append(v.HiddenNMSE, h.nmse())
		v.HiddenMaxError = append(v.HiddenMaxError, h.worst)
		v.WorstHidden = max(v.WorstHidden, h.nmse())
	}
	v.OK = v.LogitsNMSE <= v.Tolerance && v.WorstHidden <= v.Tolerance && v.RouterAgreement == 1 && v.GreedyAgreed == v.GreedyTotal
}

// squares sums squared errors.
type squares struct{ of, reference, worst float64 }

func (s *squares) add(got, want []float32) {
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		s.of += d * d
		s.reference += float64(w) * float64(w)
		if !(math.Abs(d) <= s.worst) {
			s.worst = finite(math.Abs(d))
		}
	}
}

// nmse is the normalised mean squared error.
func (s squares) nmse() float64 { return finite(s.of / max(s.reference, math.SmallestNonzeroFloat64)) }

// finite stands in the largest number for what JSON cannot carry.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return math.MaxFloat64
	}
	return x
}

func largest(row []float32) int {
	best := 0
	for i, x := range row {
		if x > row[best] {
			best = i
		}
	}
	return best
}
