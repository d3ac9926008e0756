// Package convert turns checkpoints into artifacts: it maps published tensor names to canonical ones, cuts stacked experts
// apart, stores every tensor in the number format asked for, and writes one shard per expert.
//
// A [Source] is a checkpoint in some container; [OpenHub] opens a folder as published on a model hub. [Run] does the rest,
// one tensor at a time, so that a model need not fit in memory. What the architecture expects is given by the caller: a tensor
// that is missing, unexpected or of another shape is an error, never a guess. The package knows no architecture's mathematics.
package convert
