package convert

import (
	"encoding/json"

	"shoal/rdrr/quant"
)

// Source is a checkpoint whose tensors go by canonical names, experts cut apart.
type Source interface {
	// Tensors lists what the checkpoint has, in no particular order. It reads no weights.
	Tensors() []Stored
	// Config is the hub-style configuration.
	Config() json.RawMessage
	// Files are the tokenizer and generation files, by name.
	Files() (map[string][]byte, error)
	// Close ends the use of all bytes that Stored.Load returned.
	Close() error
}

// Stored is one canonical tensor of a source.
type Stored struct {
	Name  string
	From  string // what the checkpoint calls the tensor that this is, or is a part of
	Shape []int
	Type  quant.Type // the format that Load gives, without loss against the checkpoint
	// Load returns the rows in blocks of Type: rows * Type.RowBytes(cols) bytes, which the caller must not write to.
	Load func() ([]byte, error)
	// Done, if it is not nil, is called when the bytes that Load returned are no longer used, so that their memory can serve the
	// next tensor.
	Done func()
}
