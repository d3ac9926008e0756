package router

import (
	"fmt"
	"slices"
	"strings"

	"shoal/experts"
	"shoal/rdrr"
)

// Missing are experts of a layer that nobody can run.
type Missing struct {
	Layer   int
	Experts []int // ascending
}

// Failure is how a peer failed.
type Failure struct {
	Peer string // "" is this process
	Err  error
}

func (f Failure) String() string {
	switch {
	case f.Peer == "":
		return fmt.Sprintf("this process: %v", f.Err)
	case strings.HasPrefix(f.Err.Error(), "peer "+f.Peer+":"): // a remote Runner names its peer
		return f.Err.Error()
	}
	return fmt.Sprintf("%s: %v", f.Peer, f.Err)
}

// MissingError says that experts have no holder, who failed before, and what to do about it. It is an experts.ErrNotHeld.
type MissingError struct {
	Missing  []Missing
	Failures []Failure
}

func (e *MissingError) Error() string {
	var b strings.Builder
	groups := groupLayers(e.Missing)
	them := "them"
	if len(groups) == 1 && len(groups[0].layers) == 1 && len(groups[0].experts) == 1 {
		them = "it"
	}
	for i, g := range groups {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s %s %s %s", plural("layer", g.layers), experts.FormatRanges(g.layers), plural("expert", g.experts), experts.FormatRanges(g.experts))
	}
	if len(e.Failures) == 0 {
		fmt.Fprintf(&b, ": no peer holds %s; ", them)
	} else {
		fmt.Fprintf(&b, ": no peer is left that holds %s (", them)
		for i, f := range e.Failures {
			if i > 0 {
				b.WriteString("; ")
			}
			b.WriteString(f.String())
		}
		b.WriteString("); ")
	}
	b.WriteString("start a node with ")
	for i, g := range groups {
		if i > 0 {
			b.WriteString(", another with ")
		}
		fmt.Fprintf(&b, "--layers %s --experts %s", experts.FormatRanges(g.layers), experts.FormatRanges(g.experts))
	}
	return b.String()
}

// Unwrap makes the error an experts.ErrNotHeld and each of the failures.
func (e *MissingError) Unwrap() []error {
	out := []error{experts.ErrNotHeld}
	for _, f := range e.Failures {
		out = append(out, f.Err)
	}
	return out
}

func plural(word string, numbers []int) string {
	if len(numbers) == 1 {
		return word
	}
	return word + "s"
}

// layerGroup is the layers that miss the same experts.
type layerGroup struct{ layers, experts []int }

func groupLayers(missing []Missing) []layerGroup {
	var out []layerGroup
next:
	for _, m := range missing {
		for i := range out {
			if slices.Equal(out[i].experts, m.Experts) {
				out[i].layers = append(out[i].layers, m.Layer)
				continue next
			}
		}
		out = append(out, layerGroup{[]int{m.Layer}, m.Experts})
	}
	return out
}

// Uncovered lists the experts of a model that none of the holders has, by layer; nil if there is a holder for each.
func Uncovered(moe rdrr.MoE, holders []experts.Holder) []Missing {
	var out []Missing
	missing := experts.Uncovered(moe, holders)
	for _, layer := range missing.Layers() {
		out = append(out, Missing{layer, missing[layer].Experts()})
	}
	return out
}
