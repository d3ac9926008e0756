// Package p2p joins machines into a swarm: it finds the peers that hold experts of a model and carries batches to them.
//
// A [Host] is this process in the swarm: a libp2p host with QUIC and TCP and a DHT of our own. A node calls [NewServer] to
// answer for an [experts.Runner] and [Host.Announce] to make known what it holds. A coordinator opens a [Directory] for its
// model; it looks peers up in the DHT, verifies what they say of themselves, keeps a stream open to each and hands them out
// as holders whose Runner is a [Remote].
//
// The package knows neither the model nor the device: it sees digests, layer and expert numbers, and rows of floats. It
// never chooses between peers, never repeats a request on its own and never looks anything up while a token waits:
// choosing, hedging and failing over are the router's work. The protocols are described in docs/protocol.md.
package p2p
