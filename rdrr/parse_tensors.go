package rdrr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"shoal/rdrr/quant"
)

func readTensorsFile(name string, readFile func(string) ([]byte, error)) (json.RawMessage, error) {
	if err := checkFileName(name); err != nil {
		return nil, fmt.Errorf("tensorsFile: %w", err)
	}
	if readFile == nil {
		return nil, fmt.Errorf("tensorsFile %s is not at hand", name)
	}
	data, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("tensorsFile: %w", err)
	}
	data = bytes.TrimSpace(data)
	var wrapped struct {
		Tensors json.RawMessage `json:"tensors"`
	}
	if err := json.Unmarshal(data, &wrapped); err != nil {
		return nil, fmt.Errorf("tensorsFile %s: %w", name, err)
	}
	if isObject(wrapped.Tensors) {
		var probe wireTensor // a tensor may be called "tensors"
		if json.Unmarshal(wrapped.Tensors, &probe) != nil || probe.DType == "" {
			return wrapped.Tensors, nil
		}
	}
	return data, nil
}

func (m *Manifest) parseTensors(raw json.RawMessage, w wireManifest) error {
	var config struct {
		Layout string `json:"q4kLayout"`
	}
	_ = json.Unmarshal(m.Config, &config) // a field of another type means the same as none
	layout := first(config.Layout, w.QuantizationInfo.Layout, w.Conversion.Quantization.Layout, "row")
	err := eachMember(raw, maxTensors, "tensors", func(published string, raw json.RawMessage) error {
		if err := checkTensorName(published); err != nil {
			return err
		}
		name, keep := CanonicalName(published)
		if !keep {
			return nil
		}
		var t wireTensor
		if err := json.Unmarshal(raw, &t); err != nil {
			return fmt.Errorf("tensor %s: %w", published, err)
		}
		entry, err := t.entry(name, layout)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", published, err)
		}
		m.Tensors = append(m.Tensors, entry)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(m.Tensors, func(a, b TensorEntry) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func (t wireTensor) entry(name, layout string) (TensorEntry, error) {
	dtype := strings.ToUpper(t.DType)
	if dtype == "Q4_K_M" { // how version "1.0" calls Q4_K
		dtype = "Q4_K"
	}
	typ, err := quant.Parse(dtype)
	if err != nil {
		return TensorEntry{}, fmt.Errorf("%w; convert the model again from its original checkpoint", err)
	}
	if err := checkShape(t.Shape); err != nil {
		return TensorEntry{}, err
	}
	if err := checkLayout(typ, t.Shape, first(t.Layout, layout)); err != nil {
		return TensorEntry{}, err
	}
	role := t.Role
	if !role.known() {
		role = RoleOf(name)
	}
	e := TensorEntry{Name: name, Type: typ, Shape: t.Shape, Role: role}
	if len(t.Spans) > maxSpans {
		return TensorEntry{}, fmt.Errorf("%d spans, over the limit of %d", len(t.Spans), maxSpans)
	}
	for _, s := range t.Spans {
		e.Spans = append(e.Spans, Span{Shard: firstIndex(s.ShardIndex, s.Shard), Offset: s.Offset, Size: s.Size})
	}
	if len(e.Spans) == 0 {
		e.Spans = []Span{{Shard: firstIndex(t.ShardIndex, t.Shard), Offset: t.Offset, Size: t.Size}}
	} else if sum := e.Size(); sum != t.Size {
		return TensorEntry{}, fmt.Errorf("size is %d, its spans have %d bytes", t.Size, sum)
	}
	return e, nil
}

// checkLayout refuses tensors whose blocks do not lie in their rows. Where rows are whole blocks, "flat" is the same as rows.
func checkLayout(t quant.Type, shape []int, layout string) error {
	switch _, cols := rowsCols(shape); {
	case layout == "row" || layout == "row_wise":
		return nil
	case t.BlockSize() == 1 && layout != "column":
		return nil
	case layout == "flat" && cols%t.BlockSize() == 0:
		return nil
	}
	return fmt.Errorf("%s in layout %q cannot be read by rows; convert the model again with the row layout", t, layout)
}
