package main

import (
	"fmt"
	"io"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/swarmmap"
	"shoal/router"
)

// printStats shows a report for people, with the speed that was predicted for it, 0 if none was.
func printStats(w io.Writer, r router.Report, predicted float64) {
	fmt.Fprintf(w, "%d tokens, %.1f tokens/s, first after %.0f ms (prompt of %d)\n", len(r.Tokens), r.TokensPerSecond, r.TimeToFirstToken, r.PromptTokens)
	if predicted > 0 {
		fmt.Fprintf(w, "predicted from round trips, peers and trunk as measured: %.1f tokens/s; measured: %.1f\n", predicted, r.TokensPerSecond)
	}
	if r.Drafted > 0 {
		fmt.Fprintf(w, "%d of %d guessed tokens were right: %.2f tokens a pass\n", r.Accepted, r.Drafted, r.TokensPerPass)
	}
	if r.DraftError != "" {
		fmt.Fprintf(w, "guessing ended early: %s\n", r.DraftError)
	}
	printTimes(w, r)
	if r.RemoteCalls == 0 {
		return
	}
	fmt.Fprintf(w, "per token: %.1f remote layers, %.1f round trips; %.0f %% of what %.2f ms a round trip allows\n",
		r.RemoteLayersPerToken, r.RoundTripsPerToken, 100*r.LawShare, r.RTT)
	fmt.Fprintf(w, "%d calls, %s out, %s in, %d hedged, %d failed over\n", r.RemoteCalls, console.Bytes(r.BytesSent), console.Bytes(r.BytesReceived), r.Hedges, r.Failovers)
	var table console.Table
	table.Row("peer", "experts", "calls", "p50", "p95", "round trip", "queue", "compute", "waited for", "out", "in")
	for _, p := range r.Peers {
		table.Row(swarmmap.Short(p.ID), p.Experts, p.Calls, millis(p.P50), millis(p.P95), millis(p.RTT), millis(p.Queue), millis(p.Compute), millis(p.Wait),
			console.Bytes(p.BytesSent), console.Bytes(p.BytesReceived))
	}
	table.Print(w)
}

// printTimes shows where the time of a token went.
func printTimes(w io.Writer, r router.Report) {
	t := r.Time
	if t.Total == 0 {
		return
	}
	fmt.Fprintf(w, "of %s a token: trunk %s", millis(t.Total), millis(t.Trunk))
	if t.Wait > 0 {
		fmt.Fprintf(w, ", waiting for experts %s (codec %s, queue %s, computing %s, link %s)", millis(t.Wait), millis(t.Codec), millis(t.Queue), millis(t.Peer), millis(t.Link))
	}
	if t.Guess >= .005 {
		fmt.Fprintf(w, ", guessing %s", millis(t.Guess))
	}
	fmt.Fprintf(w, ", sampling %s, other %s\n", millis(t.Sample), millis(t.Other))
}

func millis(v float64) string { return fmt.Sprintf("%.2f ms", v) }
