// Package link makes connections within one machine behave like connections over a network: with a round-trip time, jitter,
// lost packets and a limited rate, each way. It needs no privileges: data is held back in the process that dials, by [Link.Wrap]
// and [Link.Dialer], or in a [Link.Proxy] between any two programs.
//
// # What is modelled
//
// A write is cut into segments of 1448 bytes, as Ethernet has them, and every segment takes its share of the line: its bytes
// and 52 of headers, at the line's rate. A line is one household's: all connections of a [Link] share it, each way on its own.
// A segment then arrives half a round trip later, plus the jitter, which is drawn once for each write: a uniform share of plus or
// minus half the configured jitter, so that round trips vary by plus or minus all of it. What was sent later never arrives
// earlier.
//
// A lost segment is sent again one round trip later, which may be lost as well, and what follows it on its connection waits:
// that is what a fast retransmission looks like from outside. The last segment of a burst is treated alike, though a real TCP
// takes about two round trips to miss it, and some 200 ms more if it was the only one under way.
//
// # What is not
//
// No congestion window, so no slow start and no collapse of the rate after a loss; no acknowledgements, which would take a few
// percent of the other way's rate; no reordering. The machine's own loopback is part of every connection, about 30 µs each way.
package link
