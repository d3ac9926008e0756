package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	maxHeaderBytes = 100 << 20
	maxTensors     = 1 << 20
	maxDims        = 8
	maxElements    = 1 << 48
)

// entry is a tensor as the header describes it; begin and end are offsets within the data.
type entry struct {
	name       string
	dtype      DType
	shape      []int
	begin, end int64
}

type wireEntry struct {
	DType   *DType  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

// parseHeader reads the JSON of a file whose data has dataBytes bytes. It returns the tensors by ascending offset.
func parseHeader(header []byte, dataBytes int64) (entries []entry, metadata map[string]string, err error) {
	d := json.NewDecoder(bytes.NewReader(header))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("header is not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("header: %w", err)
		}
		name := t.(string) // the decoder accepts nothing else as a key
		if seen[name] {
			return nil, nil, fmt.Errorf("tensor %.200q is there twice", name)
		}
		if len(seen) > maxTensors {
			return nil, nil, fmt.Errorf("over %d tensors", maxTensors)
		}
		seen[name] = true
		if name == "__metadata__" {
			if err := d.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("__metadata__: %w", err)
			}
			continue
		}
		var w wireEntry
		if err := d.Decode(&w); err != nil {
			return nil, nil, fmt.Errorf("tensor %.200q: %w", name, err)
		}
		e, err := w.entry(name)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %.200q: %w", name, err)
		}
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if _, err := d.Token(); err != io.EOF { // only spaces may pad the header
		return nil, nil, errors.New("header goes on after its JSON object")
	}
	return entries, metadata, checkCover(entries, dataBytes)
}

func (w wireEntry) entry(name string) (entry, error) {
	if w.DType == nil || w.Shape == nil || len(w.Offsets) != 2 {
		return entry{}, errors.New("dtype, shape or data_offsets is missing")
	}
	if err := w.DType.check(); err != nil {
		return entry{}, err
	}
	if len(w.Shape) > maxDims {
		return entry{}, fmt.Errorf("%d dimensions, over the limit of %d", len(w.Shape), maxDims)
	}
	e := entry{name: name, dtype: *w.DType, shape: make([]int, len(w.Shape)), begin: w.Offsets[0], end: w.Offsets[1]}
	n := int64(1)
	for i, dim := range w.Shape {
		if dim < 0 || dim > 0 && n > maxElements/dim || int64(int(dim)) != dim {
			return entry{}, fmt.Errorf("shape %v is negative or over %d elements", w.Shape, int64(maxElements))
		}
		n *= dim
		e.shape[i] = int(dim)
	}
	if e.begin < 0 || e.end < e.begin {
		return entry{}, fmt.Errorf("data_offsets [%d, %d] are no range", e.begin, e.end)
	}
	if want := n * dtypeBytes[e.dtype]; e.end-e.begin != want {
		return entry{}, fmt.Errorf("has %d bytes, %s of shape %v takes %d", e.end-e.begin, e.dtype, e.shape, want)
	}
	return e, nil
}

// checkCover sorts the tensors by offset and checks that they cover the data without overlap, hole or rest.
func checkCover(entries []entry, dataBytes int64) error {
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end)) // an empty tensor goes first
	})
	end, last := int64(0), ""
	for _, e := range entries {
		if e.begin < end {
			return fmt.Errorf("tensors %.200q and %.200q overlap", last, e.name)
		}
		if e.begin > end {
			return fmt.Errorf("%d bytes before tensor %.200q belong to no tensor", e.begin-end, e.name)
		}
		end, last = e.end, e.name
	}
	switch {
	case end > dataBytes:
		return fmt.Errorf("truncated: its tensors take %d bytes, the file has %d for them; fetch it again", end, dataBytes)
	case end < dataBytes:
		return fmt.Errorf("%d bytes after the last tensor belong to no tensor", dataBytes-end)
	}
	return nil
}
