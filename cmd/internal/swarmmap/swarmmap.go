// Package swarmmap draws who holds which experts of a model. It takes holdings and returns facts and text; it asks nobody.
package swarmmap

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"shoal/experts"
	"shoal/rdrr"
)

// Peer is one holder, as the map shows it.
type Peer struct {
	ID        string           `json:"id"`
	Addresses []string         `json:"addresses,omitempty"`
	Device    string           `json:"device,omitempty"`
	Build     string           `json:"build,omitempty"`
	Experts   int              `json:"experts"`
	Layers    map[int]string   `json:"layers"` // layer -> ranges of experts, "0-7,9"
	Holds     experts.Holdings `json:"-"`
}

// Layer is the replication of one layer.
type Layer struct {
	Layer   int   `json:"layer"`
	Experts int   `json:"experts"`
	Held    int   `json:"held"`    // experts with at least one holder
	Least   int   `json:"least"`   // replicas of the rarest expert
	Most    int   `json:"most"`    // replicas of the most common expert
	Copies  []int `json:"copies"`  // replicas per expert
	Missing []int `json:"missing"` // experts that nobody holds
}

// Map is who holds what.
type Map struct {
	Model    string  `json:"model"`
	Complete bool    `json:"complete"` // every expert of every layer has a holder
	Layers   []Layer `json:"layers"`
	Peers    []Peer  `json:"peers"`
}

// New counts the replicas of every expert of the model.
func New(model rdrr.Digest, moe *rdrr.MoE, peers []Peer) Map {
	m := Map{Model: model.String(), Complete: true, Layers: []Layer{}, Peers: []Peer{}}
	for _, p := range peers {
		p.Experts = p.Holds.Count()
		p.Layers = map[int]string{}
		for _, l := range p.Holds.Layers() {
			p.Layers[l] = experts.FormatRanges(p.Holds[l].Experts())
		}
		m.Peers = append(m.Peers, p)
	}
	slices.SortFunc(m.Peers, func(a, b Peer) int { return strings.Compare(a.ID, b.ID) })
	for _, l := range moe.Layers {
		layer := Layer{Layer: l, Experts: moe.Experts, Copies: make([]int, moe.Experts), Missing: []int{}}
		for e := range moe.Experts {
			for _, p := range peers {
				if p.Holds[l].Has(e) {
					layer.Copies[e]++
				}
			}
			if layer.Copies[e] == 0 {
				layer.Missing = append(layer.Missing, e)
				m.Complete = false
			}
		}
		layer.Held = moe.Experts - len(layer.Missing)
		layer.Least, layer.Most = slices.Min(layer.Copies), slices.Max(layer.Copies)
		m.Layers = append(m.Layers, layer)
	}
	return m
}

// Print draws the map: a row per layer, a character per expert, which is its number of replicas.
func (m Map) Print(w io.Writer) {
	fmt.Fprintf(w, "model %s, %s\n", m.Model[:12], plural(len(m.Peers), "peer"))
	for _, p := range m.Peers {
		fmt.Fprintf(w, "  %s  %s in %s", Short(p.ID), plural(p.Experts, "expert"), plural(len(p.Layers), "layer"))
		if p.Device != "" {
			fmt.Fprintf(w, ", %s", p.Device)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "replicas per expert (. is none):")
	for _, l := range m.Layers {
		var row strings.Builder
		for e, n := range l.Copies {
			if e > 0 && e%8 == 0 {
				row.WriteByte(' ')
			}
			row.WriteByte(digit(n))
		}
		fmt.Fprintf(w, "  layer %3d  %s", l.Layer, row.String())
		if len(l.Missing) > 0 {
			fmt.Fprintf(w, "  missing %s", experts.FormatRanges(l.Missing))
		}
		fmt.Fprintln(w)
	}
	if m.Complete {
		fmt.Fprintln(w, "every expert has a holder")
		return
	}
	fmt.Fprintln(w, "some experts have no holder: text cannot be generated until nodes hold them (node --layers L --experts E)")
}

func digit(n int) byte {
	switch {
	case n == 0:
		return '.'
	case n < 10:
		return byte('0' + n)
	default:
		return '+'
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Short is the end of a peer id, which is where ids differ.
func Short(id string) string {
	if len(id) <= 8 {
		return id
	}
	return "…" + id[len(id)-8:]
}
