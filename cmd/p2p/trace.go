package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/swarmmap"
	"shoal/router"
)

// traceFile collects the spans of a generation and writes them as a trace that Perfetto (ui.perfetto.dev) and Chrome
// (chrome://tracing) show: one row for this process, one for each peer.
type traceFile struct {
	begin time.Time
	mu    sync.Mutex
	spans []router.Span
	lost  int
}

// mostSpans bounds the memory of a trace: about 200 MB.
const mostSpans = 2_000_000

func newTraceFile() *traceFile { return &traceFile{begin: time.Now()} }

// Span keeps a span.
func (t *traceFile) Span(s router.Span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.spans) >= mostSpans {
		t.lost++
		return
	}
	t.spans = append(t.spans, s)
}

// save writes the file.
func (t *traceFile) save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--trace: %w", err)
	}
	if err := t.write(f); err != nil {
		_ = f.Close()
		return fmt.Errorf("--trace %s: %w", path, err)
	}
	if t.lost > 0 {
		console.Warn("--trace: the first %d spans are in the file, %d are not", mostSpans, t.lost)
	}
	return f.Close()
}

// traceEvent is an event of the Trace Event Format (Google, 2016). Times are microseconds.
type traceEvent struct {
	Name  string         `json:"name"`
	Phase string         `json:"ph"` // "X": a complete event, "M": metadata
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	Start float64        `json:"ts"`
	Took  float64        `json:"dur"`
	Args  map[string]any `json:"args,omitempty"`
}

func (t *traceFile) write(w io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(t.spans, func(a, b router.Span) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(b.Took, a.Took)) })
	rows := traceRows{byPeer: map[string][]traceRow{}}
	var events []traceEvent
	for _, s := range t.spans {
		events = append(events, t.events(s, rows.row(s))...)
	}
	return json.NewEncoder(w).Encode(map[string]any{"displayTimeUnit": "ms", "traceEvents": append(rows.named, events...)})
}

// events are a span, and within a call what the peer says of it.
func (t *traceFile) events(s router.Span, row int) []traceEvent {
	micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	at := micros(s.Start.Sub(t.begin))
	e := traceEvent{Name: s.Name, Phase: "X", PID: 1, TID: row, Start: at, Took: micros(s.Took), Args: map[string]any{}}
	if s.Layer >= 0 {
		e.Name = fmt.Sprintf("%s, layer %d", s.Name, s.Layer)
		e.Args["layer"] = s.Layer
	}
	if s.Rows > 0 {
		e.Args["rows"] = s.Rows
	}
	if s.Peer == "" {
		return []traceEvent{e}
	}
	e.Args["peer"], e.Args["experts"] = s.Peer, s.Slots
	e.Args["codec_us"], e.Args["queue_us"], e.Args["compute_us"] = micros(s.Of.Codec), micros(s.Of.Queue), micros(s.Of.Compute)
	out := []traceEvent{e}
	// The peer tells how long, not when: its part is drawn in the middle, as if both ways took the same time.
	inside := micros(s.Of.Queue + s.Of.Compute)
	start := at + max(0, e.Took-inside)/2
	for _, part := range []struct {
		name string
		took float64
	}{{"queue", micros(s.Of.Queue)}, {"experts", micros(s.Of.Compute)}} {
		if took := min(part.took, at+e.Took-start); took > 0 {
			out = append(out, traceEvent{Name: part.name, Phase: "X", PID: 1, TID: row, Start: start, Took: took})
			start += took
		}
	}
	return out
}

// traceRows gives every span a row in which it overlaps nothing that it is not inside of.
type traceRows struct {
	byPeer map[string][]traceRow
	named  []traceEvent
	last   int
}

type traceRow struct {
	id   int
	free time.Time // when its last span ends
}

// row is the number of a span's row. Spans come in order of their start.
func (r *traceRows) row(s router.Span) int {
	rows := r.byPeer[s.Peer]
	end := s.Start.Add(s.Took)
	for i := range rows {
		if s.Peer == "" { // spans of this process contain each other
			return rows[i].id
		}
		if !rows[i].free.After(s.Start) {
			rows[i].free = end
			return rows[i].id
		}
	}
	name := "coordinator"
	if s.Peer != "" {
		name = "peer " + swarmmap.Short(s.Peer)
	}
	if len(rows) > 0 {
		name = fmt.Sprintf("%s (%d)", name, len(rows)+1)
	}
	r.last++
	r.byPeer[s.Peer] = append(rows, traceRow{r.last, end})
	r.named = append(r.named, traceEvent{Name: "thread_name", Phase: "M", PID: 1, TID: r.last, Args: map[string]any{"name": name}})
	return r.last
}
