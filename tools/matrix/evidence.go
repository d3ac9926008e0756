package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"shoal/internal/report"
	"shoal/rdrr/quant"
)

// evidence is what the reports say, by device. A device's letter is its column in the page's tables.
type evidence struct {
	devices []*report.Report
}

func letter(device int) string {
	if device < 26 {
		return string(rune('A' + device))
	}
	return letter(device/26-1) + letter(device%26)
}

// subject is one artifact that was compared with something.
type subject struct {
	artifact, quantization string
	parameters             int64
}

// result is what one device made of a subject.
type result struct {
	formats  string
	own      *report.Check // against the artifact's own weights in float32
	original *report.Check // against what another implementation computed from the checkpoint
}

// subjects lists all that was compared, alone, in one piece: fixtures first by name and size, as stored before recoded.
func (e evidence) subjects() []subject {
	seen := map[subject]bool{}
	for _, r := range e.devices {
		for _, run := range r.Runs {
			if run.Check != nil && run.Mode == report.Alone && run.Check.Chunk == 0 {
				seen[subjectOf(run)] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b subject) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), strings.Compare(a.artifact, b.artifact), cmp.Compare(a.parameters, b.parameters),
			cmp.Compare(recoded(a.quantization), recoded(b.quantization)), strings.Compare(a.quantization, b.quantization))
	})
}

func subjectOf(r report.Run) subject { return subject{r.Artifact, r.Quantization, r.Parameters} }

// rank puts synthetic models last.
func (s subject) rank() int {
	if _, synthetic := s.synthetic(); synthetic {
		return 1
	}
	return 0
}

// synthetic is the model whose shapes a synthetic artifact has, as p2p synth names it.
func (s subject) synthetic() (arch string, ok bool) {
	return strings.CutPrefix(s.artifact, "synthetic ")
}

// recoded is 0 for weights that are as the checkpoint has them, and more the fewer bits p2p convert left of them.
func recoded(quantization string) int {
	return max(0, slices.Index([]string{"", "F16", "Q8_0", "Q4_K_M"}, quantization))
}

// of gathers a device's runs of a subject.
func (e evidence) of(s subject, device int) *result {
	var out *result
	for _, run := range e.devices[device].Runs {
		if subjectOf(run) != s || run.Mode != report.Alone || run.Check == nil || run.Check.Chunk != 0 {
			continue
		}
		if out == nil {
			out = &result{}
		}
		check := run.Check
		out.formats = run.Formats
		if check.Reference == report.OwnWeights {
			out.own = check
		} else {
			out.original = check
		}
	}
	return out
}

// judged is the comparison that a subject must pass: as stored, with the original; recoded, with its own weights.
func (r *result) judged(s subject) *report.Check {
	if recoded(s.quantization) > 0 || r.original == nil {
		return r.own
	}
	return r.original
}

// verdict sums comparisons up: the devices that passed with the worst error among them, and those that did not.
type verdict struct {
	passed, failed []string // letters
	worst          float64
}

func (v *verdict) add(device int, c *report.Check) {
	if c == nil {
		return
	}
	list := &v.passed
	if !c.OK {
		list = &v.failed
	} else {
		v.worst = max(v.worst, c.LogitsNMSE, c.WorstHiddenNMSE)
	}
	if !slices.Contains(*list, letter(device)) {
		*list = append(*list, letter(device))
	}
}

func (v verdict) String() string {
	var parts []string
	if len(v.passed) > 0 {
		parts = append(parts, fmt.Sprintf("%s within %s", strings.Join(v.passed, " "), nmse(v.worst)))
	}
	if len(v.failed) > 0 {
		parts = append(parts, "**fails on "+strings.Join(v.failed, " ")+"**")
	}
	return strings.Join(parts, ", ")
}

// fixture sums up what was seen of the fixtures of a row, in one choice of formats.
func (e evidence) fixture(names []string, quantization func(string) bool) verdict {
	var v verdict
	for _, s := range e.subjects() {
		if !slices.Contains(names, s.artifact) || !quantization(s.quantization) {
			continue
		}
		for d := range e.devices {
			if r := e.of(s, d); r != nil {
				v.add(d, r.judged(s))
			}
		}
	}
	return v
}

// format sums up all comparisons of artifacts that have a number format.
func (e evidence) format(t quant.Type, device int) (v verdict, runs int) {
	for _, s := range e.subjects() {
		r := e.of(s, device)
		if r == nil || !slices.Contains(strings.Split(r.formats, ", "), t.String()) {
			continue
		}
		if _, known := explained[s.artifact]; known {
			continue
		}
		if c := r.judged(s); c != nil {
			v.add(device, c)
			runs++
		}
	}
	return v, runs
}

// nmse writes an error with two digits.
func nmse(x float64) string {
	if x == 0 {
		return "0"
	}
	return fmt.Sprintf("%.1e", x)
}
