package convert

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"shoal/rdrr/convert/gguf"
	"shoal/rdrr/quant"
)

// ggufFileTypes are llama.cpp's numbers for what most weights of a file are stored as.
var ggufFileTypes = map[quant.Type]uint32{
	quant.F32: 0, quant.F16: 1, quant.Q4_0: 2, quant.Q8_0: 7, quant.Q4_K: 15, quant.Q5_K: 17, quant.Q6_K: 18, quant.BF16: 32, quant.MXFP4: 38,
}

// metadata fills in what comes before the tensors.
func (e *exporter) metadata() error {
	e.meta = &gguf.Metadata{}
	set := func(key string, value any) error { return e.meta.Set(key, value) }
	weights := map[quant.Type]int64{}
	for _, j := range e.jobs {
		weights[j.Type] += elements(j.Shape)
	}
	most := slices.MaxFunc(slices.Sorted(maps.Keys(weights)), func(a, b quant.Type) int { return cmp.Compare(weights[a], weights[b]) })
	err := errors.Join(
		set("general.architecture", e.o.Architecture),
		set("general.type", "model"),
		set("general.name", e.o.Model.Manifest().ModelID),
		set("general.file_type", ggufFileTypes[most]),
		set("general.quantization_version", uint32(2)),
	)
	for _, key := range slices.Sorted(maps.Keys(e.o.Keys)) {
		err = errors.Join(err, set(e.o.Architecture+"."+key, e.o.Keys[key]))
	}
	if err != nil {
		return err
	}
	if err := e.tokenizer(); err != nil {
		return err
	}
	return e.template()
}

// tokenizer writes the vocabulary: back as it came for a model that was a GGUF file, made from tokenizer.json otherwise.
func (e *exporter) tokenizer() error {
	raw, err := e.o.Model.File(VocabularyFile)
	if err == nil {
		return e.vocabulary(raw)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	raw, err = e.o.Model.File("tokenizer.json")
	if errors.Is(err, fs.ErrNotExist) {
		e.report.Warnings = append(e.report.Warnings, "the artifact has no tokenizer, so the file has none: programs that want text cannot use it")
		return e.meta.Set(vocabularyPrefix+"model", "none")
	}
	if err != nil {
		return err
	}
	return e.hubTokenizer(raw)
}

// vocabulary sets the keys that [VocabularyFile] holds, in the types that llama.cpp reads.
func (e *exporter) vocabulary(raw []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return fmt.Errorf("%s: %w", VocabularyFile, err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v, err := ggufValue(name, values[name])
		if err != nil {
			return fmt.Errorf("%s: %s: %w", VocabularyFile, name, err)
		}
		if err := e.meta.Set(vocabularyPrefix+name, v); err != nil {
			return err
		}
	}
	return nil
}

// ggufValue reads a value of the vocabulary as the first type that fits: numbers are unsigned, lists of whole numbers signed,
// and scores floats even if they are whole.
func ggufValue(name string, raw json.RawMessage) (any, error) {
	if name == "scores" {
		return decodeAs[[]float32](raw)
	}
	for _, read := range []func(json.RawMessage) (any, error){
		decodeAs[bool], decodeAs[uint32], decodeAs[int64], decodeAs[float32], decodeAs[string], decodeAs[[]string], decodeAs[[]int32], decodeAs[[]float32],
	} {
		if v, err := read(raw); err == nil {
			return v, nil
		}
	}
	return nil, errors.New("is of no type that GGUF has")
}

func decodeAs[T any](raw json.RawMessage) (any, error) {
	var v T
	err := json.Unmarshal(raw, &v)
	return v, err
}

// template writes the chat template, from its own file or from tokenizer_config.json.
func (e *exporter) template() error {
	if raw, err := e.o.Model.File("chat_template.jinja"); err == nil {
		return e.meta.Set(templateKey, string(raw))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	raw, err := e.o.Model.File("tokenizer_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var c struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return fmt.Errorf("tokenizer_config.json: %w", err)
	}
	if text, ok := defaultTemplate(c.Template); ok {
		return e.meta.Set(templateKey, text)
	}
	return nil
}

// defaultTemplate reads a chat template: a text, or a list of named ones of which one is the default.
func defaultTemplate(raw json.RawMessage) (string, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, text != ""
	}
	var named []struct{ Name, Template string }
	if json.Unmarshal(raw, &named) == nil {
		for _, t := range named {
			if t.Name == "default" {
				return t.Template, true
			}
		}
	}
	return "", false
}
