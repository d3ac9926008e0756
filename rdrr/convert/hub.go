package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/rdrr"
	"shoal/rdrr/convert/safetensors"
	"shoal/rdrr/quant"
)

// hubFiles are the files that go into the artifact beside the weights, where the checkpoint has them.
var hubFiles = []string{
	"tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json", "added_tokens.json",
	"chat_template.jinja", "chat_template.json", "tokenizer.model", "tiktoken.model", "vocab.json", "merges.txt",
}

const (
	maxConfigBytes = 16 << 20
	maxFileBytes   = 256 << 20
)

// hub is a checkpoint as published on a model hub.
type hub struct {
	dir        string
	config     json.RawMessage
	moe        *rdrr.MoE // nil if dense
	checkpoint *safetensors.Checkpoint
	interleave bool // stacked gate and up projections alternate row by row
	tensors    []Stored
}

// ReadConfig reads config.json of a folder as published on a model hub.
func ReadConfig(dir string) (json.RawMessage, error) {
	b, err := readFile(filepath.Join(dir, "config.json"), maxConfigBytes)
	if err != nil {
		return nil, err
	}
	if !json.Valid(b) || len(b) == 0 {
		return nil, fmt.Errorf("%s is not JSON", filepath.Join(dir, "config.json"))
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	var raw json.RawMessage
	return raw, errors.Join(json.Unmarshal(b, &raw))
}

// OpenHub opens a folder with config.json and safetensors files, as published on a model hub. moe describes the experts that
// the architecture expects, nil if it has none; stacked experts cannot be cut apart without it.
func OpenHub(dir string, moe *rdrr.MoE) (Source, error) {
	config, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	h := &hub{dir: dir, config: config, moe: moe}
	if err := h.readQuantization(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	if h.checkpoint, err = safetensors.Open(dir); err != nil {
		return nil, err
	}
	if err := h.index(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (h *hub) Tensors() []Stored       { return h.tensors }
func (h *hub) Config() json.RawMessage { return h.config }
func (h *hub) Close() error            { return h.checkpoint.Close() }

func (h *hub) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range hubFiles {
		b, err := readFile(filepath.Join(h.dir, name), maxFileBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = b
	}
	return files, nil
}

func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// readQuantization checks that the checkpoint is quantised in no way that would be misread.
func (h *hub) readQuantization() error {
	var c struct {
		ModelType    string `json:"model_type"`
		Quantization *struct {
			Method string `json:"quant_method"`
			Block  []int  `json:"weight_block_size"`
		} `json:"quantization_config"`
	}
	if err := json.Unmarshal(h.config, &c); err != nil {
		return err
	}
	h.interleave = c.ModelType == "gpt_oss"
	q := c.Quantization
	switch {
	case q == nil || q.Method == "mxfp4":
		return nil
	case q.Method != "fp8":
		return fmt.Errorf("quantization_config.quant_method is %q: only fp8 and mxfp4 checkpoints and unquantised ones can be read", q.Method)
	case len(q.Block) != 2 || q.Block[0] != fp8Block || q.Block[1] != fp8Block:
		return fmt.Errorf("quantization_config.weight_block_size is %v, want [%d %d]", q.Block, fp8Block, fp8Block)
	}
	return nil
}

// index finds the canonical tensors in what the checkpoint stores.
func (h *hub) index() error {
	for _, published := range h.checkpoint.Names() {
		name, keep := rdrr.CanonicalName(published)
		if !keep {
			continue
		}
		found, err := h.find(name, h.checkpoint.Tensor(published))
		if err != nil {
			return fmt.Errorf("%s: tensor %s: %w", h.checkpoint.Tensor(published).File(), published, err)
		}
		h.tensors = append(h.tensors, found...)
	}
	return nil
}

// find returns the canonical tensors that are stored as t: none for a scale that belongs to another, many for stacked experts.
func (h *hub) find(name string, t *safetensors.Tensor) ([]Stored, error) {
	if layer, part, ok := splitStacked(name); ok {
		return h.stacked(layer, part, t)
	}
	if base, ok := h.scaleOf(t.Name); ok {
		if base == nil {
			return nil, errors.New("is a scale without weights")
		}
		return nil, nil
	}
	if t.DType == safetensors.F8E4M3 {
		return h.fp8(name, t)
	}
	typ, err := plainType(t.DType)
	if err != nil {
		return nil, err
	}
	return []Stored{{Name: name, From: t.Name, Shape: t.Shape, Type: typ, Load: t.Bytes}}, nil
}

// plainType is the format of weights of a dtype that needs nothing beside it.
func plainType(d safetensors.DType) (quant.Type, error) {
	switch d {
	case safetensors.F32:
		return quant.F32, nil
	case safetensors.F16:
		return quant.F16, nil
	case safetensors.BF16:
		return quant.BF16, nil
	}
	return quant.Invalid, fmt.Errorf("weights of dtype %s cannot be read, want F32, F16, BF16, F8_E4M3 with scales, or MXFP4 blocks", d)
}
