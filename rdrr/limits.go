package rdrr

import (
	"fmt"
	"math"
	"strings"

	"shoal/rdrr/quant"
)

// Limits on what a manifest may claim. They bound what a reader allocates; docs/rdrr-format.md repeats them.
const (
	maxManifestBytes = 64 << 20
	maxFileBytes     = 256 << 20 // tokenizer and generation files
	maxShards        = 1 << 18
	maxTensors       = 1 << 20
	maxFiles         = 64
	maxSpans         = 1 << 10
	maxDims          = 4
	maxShardBytes    = 1 << 40
	maxElements      = 1 << 40 // of one tensor
	maxExperts       = 1 << 16 // layers times experts is bounded by maxTensors
	maxLayers        = 1 << 16
	maxNameBytes     = 256
)

// checkFileName refuses names that could reach outside the artifact's folder or mean something else on another system.
func checkFileName(name string) error {
	switch {
	case name == "" || len(name) > maxNameBytes:
		return fmt.Errorf("file name of %d bytes", len(name))
	case strings.ContainsAny(name, `/\:`) || name == "." || strings.Contains(name, ".."):
		return fmt.Errorf("file name %q leaves the artifact's folder", name)
	case strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("file name %q begins or ends in a dot or a space", name)
	}
	for _, r := range name {
		if r < 0x20 || r > 0x7e || strings.ContainsRune(`<>"|?*`, r) {
			return fmt.Errorf("file name %q contains %q", name, r)
		}
	}
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "LPT1", "LPT2", "LPT3":
		return fmt.Errorf("file name %q is a device on some systems", name)
	}
	return nil
}

func checkTensorName(name string) error {
	if name == "" || len(name) > maxNameBytes {
		return fmt.Errorf("tensor name of %d bytes", len(name))
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return fmt.Errorf("tensor name %q has a character that is not printable ASCII", name)
		}
	}
	return nil
}

func checkShape(shape []int) error {
	if len(shape) == 0 || len(shape) > maxDims {
		return fmt.Errorf("shape of %d dimensions, want 1 to %d", len(shape), maxDims)
	}
	n := int64(1)
	for _, d := range shape {
		if d <= 0 || int64(d) > maxElements/n {
			return fmt.Errorf("shape %v is empty, negative or over %d elements", shape, int64(maxElements))
		}
		n *= int64(d)
	}
	return nil
}

// storedBytes is the size of a tensor of a checked shape, row by row in whole blocks.
func storedBytes(t quant.Type, shape []int) (int64, error) {
	rows, cols := rowsCols(shape)
	row := int64(t.RowBytes(cols))
	if int64(rows) > math.MaxInt64/row {
		return 0, fmt.Errorf("shape %v overflows", shape)
	}
	return int64(rows) * row, nil
}
