// Package safetensors reads checkpoints in the safetensors format, one file or several with an index, over memory maps.
//
// A file is an 8-byte little-endian length, that many bytes of JSON, and the tensors' bytes. The JSON object maps names to
// {"dtype", "shape", "data_offsets": [begin, end]}, offsets counting from the end of the JSON; "__metadata__" maps strings
// to strings. The tensors cover the rest of the file without holes.
//
// The package checks a header before it trusts it, and hands out bytes. It knows neither models nor quantisation.
package safetensors
