package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// IndexFile lists which file holds which tensor of a checkpoint of several files.
const IndexFile = "model.safetensors.index.json"

const maxIndexBytes = 256 << 20

// Checkpoint is an open checkpoint. It is safe for concurrent use.
type Checkpoint struct {
	files   []*file
	tensors map[string]*Tensor
}

// Tensor is a tensor of a checkpoint.
type Tensor struct {
	Name  string
	DType DType
	Shape []int // outermost first; empty for a scalar
	file  *file
	begin int64
	size  int64
}

// Open opens a checkpoint: a .safetensors file, or a folder with [IndexFile], model.safetensors, or one other .safetensors
// file. The caller closes it.
func Open(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	if !info.IsDir() {
		return openFiles([]string{path}, nil)
	}
	index := filepath.Join(path, IndexFile)
	if _, err := os.Stat(index); err == nil {
		return openIndex(index)
	}
	single, err := findSingle(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	return openFiles([]string{single}, nil)
}

func findSingle(dir string) (string, error) {
	single := filepath.Join(dir, "model.safetensors")
	if _, err := os.Stat(single); err == nil {
		return single, nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("%s has neither model.safetensors nor %s: %w", dir, IndexFile, fs.ErrNotExist)
	}
	if len(found) > 1 {
		return "", fmt.Errorf("%s has %d .safetensors files but no %s to say what is in them; fetch the index too", dir, len(found), IndexFile)
	}
	return found[0], nil
}

// openIndex opens the files that an index names. Each must hold the tensors that the index expects of it.
func openIndex(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxIndexBytes {
		return nil, fmt.Errorf("%s: %d bytes, over the limit of %d", path, info.Size(), maxIndexBytes)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: weight_map is empty", path)
	}
	names := map[string]bool{}
	for tensor, name := range index.WeightMap {
		if name == "" || name == "." || strings.ContainsAny(name, `/\:`) || strings.Contains(name, "..") {
			return nil, fmt.Errorf("%s: tensor %.200q is in file %.200q, outside of the folder", path, tensor, name)
		}
		names[name] = true
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		paths = append(paths, filepath.Join(filepath.Dir(path), name))
	}
	return openFiles(paths, index.WeightMap)
}

// openFiles opens files as one checkpoint. weightMap, if there is one, must agree with what they hold.
func openFiles(paths []string, weightMap map[string]string) (*Checkpoint, error) {
	c := &Checkpoint{tensors: map[string]*Tensor{}}
	if err := c.open(paths, weightMap); err != nil {
		c.Close()
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	return c, nil
}

func (c *Checkpoint) open(paths []string, weightMap map[string]string) error {
	for _, path := range paths {
		f, err := openFile(path)
		if err != nil {
			return err
		}
		c.files = append(c.files, f)
		for _, e := range f.entries {
			if other, ok := c.tensors[e.name]; ok {
				return fmt.Errorf("tensor %.200q is in %s and in %s", e.name, other.file.path, path)
			}
			if want, ok := weightMap[e.name]; ok && want != filepath.Base(path) {
				return fmt.Errorf("tensor %.200q is in %s, %s says %s", e.name, path, IndexFile, want)
			}
			c.tensors[e.name] = &Tensor{Name: e.name, DType: e.dtype, Shape: e.shape, file: f, begin: e.begin, size: e.end - e.begin}
		}
	}
	for name, base := range weightMap {
		if c.tensors[name] == nil {
			return fmt.Errorf("tensor %.200q is not in %s, where %s says it is; fetch the file again", name, base, IndexFile)
		}
	}
	return nil
}

// Close releases the files. Bytes of its tensors must no longer be used.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.close())
	}
	c.files = nil
	return errors.Join(errs...)
}

// Names lists the tensors, ascending.
func (c *Checkpoint) Names() []string { return slices.Sorted(maps.Keys(c.tensors)) }

// Tensor returns the tensor of that name, or nil.
func (c *Checkpoint) Tensor(name string) *Tensor { return c.tensors[name] }

// Metadata is the __metadata__ of the first file.
func (c *Checkpoint) Metadata() map[string]string { return c.files[0].metadata }

// Size is the tensor's size in bytes.
func (t *Tensor) Size() int64 { return t.size }

// File is the path of the file that holds the tensor.
func (t *Tensor) File() string { return t.file.path }

// Bytes returns the tensor's bytes, little endian. They may be mapped: the caller must not write to them, nor use them after the
// checkpoint is closed.
func (t *Tensor) Bytes() ([]byte, error) { return t.Range(0, t.size) }

// Range returns n of the tensor's bytes from offset off, as [Tensor.Bytes] does.
func (t *Tensor) Range(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > t.size || n > t.size-off {
		return nil, fmt.Errorf("tensor %s: bytes %d to %d of %d", t.Name, off, off+n, t.size)
	}
	return t.file.read(t.begin+off, n)
}
