// Package proto has the protocol definitions, expert.proto and map.proto; the Go code made from them is in proto/shoalpb.
// It has no code of its own: what the messages mean is in docs/protocol.md, how they are sent in package p2p.
package proto

//go:generate go run ./internal/generate -out shoalpb
