package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"shoal/experts"
	"shoal/router"
)

func TestTraceFile(t *testing.T) {
	trace := newTraceFile()
	at := func(ms int) time.Time { return trace.begin.Add(time.Duration(ms) * time.Millisecond) }
	const ms = time.Millisecond
	for _, s := range []router.Span{
		{Peer: "12D3KooWA", Name: "call", Layer: 3, Start: at(12), Took: 20 * ms, Rows: 1, Slots: 2, Of: experts.Timing{Queue: 2 * ms, Compute: 8 * ms}},
		{Peer: "12D3KooWA", Name: "call", Layer: 3, Start: at(20), Took: 20 * ms, Rows: 1, Slots: 1},
		{Peer: "12D3KooWA", Name: "call", Layer: 4, Start: at(33), Took: 5 * ms, Rows: 1, Slots: 1},
		{Name: "wait", Layer: 3, Start: at(12), Took: 28 * ms},
		{Name: "pass", Layer: -1, Start: at(10), Took: 40 * ms, Rows: 1},
	} {
		trace.Span(s)
	}
	var out bytes.Buffer
	if err := trace.write(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		TraceEvents []traceEvent `json:"traceEvents"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	type box struct {
		name     string
		tid      int
		from, to float64
	}
	var boxes []box
	for _, e := range got.TraceEvents {
		if e.Phase == "M" {
			rows[e.Args["name"].(string)] = e.TID
			continue
		}
		boxes = append(boxes, box{e.Name, e.TID, e.Start, e.Start + e.Took})
	}
	if len(rows) != 3 || rows["coordinator"] == 0 {
		t.Fatalf("rows %v, want the coordinator's and two of the peer, whose calls overlap", rows)
	}
	peer := boxes[0].tid
	for _, b := range boxes {
		if b.name == "call, layer 3" && b.from == 12_000 {
			peer = b.tid
		}
	}
	for _, want := range []box{
		{"pass", rows["coordinator"], 10_000, 50_000}, {"wait, layer 3", rows["coordinator"], 12_000, 40_000},
		{"call, layer 3", peer, 12_000, 32_000}, {"queue", peer, 17_000, 19_000}, {"experts", peer, 19_000, 27_000},
		{"call, layer 4", peer, 33_000, 38_000},
	} {
		found := false
		for _, b := range boxes {
			found = found || b == want
		}
		if !found {
			t.Errorf("no event %+v in %+v", want, boxes)
		}
	}
	for i, a := range boxes {
		for _, b := range boxes[i+1:] {
			if a.tid == b.tid && a.from < b.from && b.from < a.to && a.to < b.to {
				t.Errorf("%+v and %+v overlap in a row", a, b)
			}
		}
	}
}
