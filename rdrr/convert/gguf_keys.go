package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"shoal/rdrr/convert/gguf"
)

// ggufKeys reads the keys of a file's architecture and keeps account of them: a key that nobody asked for might change what
// is computed, and is an error. The first error stays.
type ggufKeys struct {
	meta   *gguf.Metadata
	prefix string // "llama."
	asked  map[string]bool
	err    error
}

func (k *ggufKeys) fail(err error) {
	if k.err == nil {
		k.err = err
	}
}

func (k *ggufKeys) has(key string) bool {
	k.asked[key] = true
	return k.meta.Has(k.prefix + key)
}

// int reads a whole number that must be there. A list with one value for all layers is one number.
func (k *ggufKeys) int(key string) int {
	k.asked[key] = true
	n, err := k.meta.Int(k.prefix + key)
	if err == nil {
		return n
	}
	list, listErr := k.meta.Ints(k.prefix + key)
	if listErr != nil || len(list) == 0 {
		k.fail(err)
		return 0
	}
	for _, v := range list {
		if v != list[0] {
			k.fail(fmt.Errorf("GGUF key %q: layers that differ, %v, are not supported", k.prefix+key, list))
		}
	}
	return list[0]
}

func (k *ggufKeys) intOr(key string, def int) int {
	if !k.has(key) {
		return def
	}
	return k.int(key)
}

// float reads a number that must be there, as the shortest decimal that means the same.
func (k *ggufKeys) float(key string) json.Number {
	v := k.value(key)
	bits := 32
	if float64(float32(v)) != v {
		bits = 64
	}
	return json.Number(strconv.FormatFloat(v, 'g', -1, bits))
}

func (k *ggufKeys) floatOr(key string, def json.Number) json.Number {
	if !k.has(key) {
		return def
	}
	return k.float(key)
}

func (k *ggufKeys) value(key string) float64 {
	k.asked[key] = true
	v, err := k.meta.Float(k.prefix + key)
	if err != nil {
		k.fail(err)
	}
	return v
}

func (k *ggufKeys) boolOr(key string, def bool) bool {
	if !k.has(key) {
		return def
	}
	v, err := k.meta.Bool(k.prefix + key)
	if err != nil {
		k.fail(err)
	}
	return v
}

func (k *ggufKeys) stringOr(key, def string) string {
	if !k.has(key) {
		return def
	}
	v, err := k.meta.String(k.prefix + key)
	if err != nil {
		k.fail(err)
	}
	return v
}

// only refuses a key that says something else than what is implemented.
func (k *ggufKeys) only(key string, want int) {
	if got := k.intOr(key, want); got != want && k.err == nil {
		k.fail(fmt.Errorf("GGUF key %q is %d, which is not supported: want %d", k.prefix+key, got, want))
	}
}

// withoutEffect are keys that repeat what the tensors' shapes say, or describe.
var withoutEffect = map[string]bool{
	"vocab_size": true, "tensor_data_layout": true, "rope.scaling.finetuned": true, "attention.causal": true,
}

// finish reports the keys of the architecture that nobody asked for.
func (k *ggufKeys) finish() error {
	if k.err != nil {
		return k.err
	}
	var unknown []string
	for _, key := range k.meta.Keys() {
		name, ours := strings.CutPrefix(key, k.prefix)
		if !ours || k.asked[name] || withoutEffect[name] || k.off(key) {
			continue
		}
		v, _ := k.meta.Value(key)
		unknown = append(unknown, fmt.Sprintf("%s (%v)", key, v))
	}
	if unknown == nil {
		return nil
	}
	slices.Sort(unknown)
	return errors.New("GGUF keys that are not known and might change the result: " + list(unknown))
}

// off reports whether a key says that something is not there.
func (k *ggufKeys) off(key string) bool {
	if b, err := k.meta.Bool(key); err == nil {
		return !b
	}
	v, err := k.meta.Float(key)
	return err == nil && v == 0
}
