// Package rdrr reads, checks and writes model artifacts: a folder with manifest.json, shards of weights, and the tokenizer's
// files. docs/rdrr-format.md is the format's specification.
//
// [OpenDir] and [Open] give a [Model], which reads nothing before it is asked for: a shard is mapped and its hash checked when
// the first of its tensors is used, so a machine that runs some experts needs only their shards. [Create] gives a [Writer].
//
// Everything in a manifest is checked before it is believed (bounds, overlaps, sizes against number format and shape, file
// names, the expert map). The package refuses to guess: an artifact that contradicts itself does not open. It knows no
// architecture and no tokenizer: the configuration and those files pass through as bytes.
package rdrr
