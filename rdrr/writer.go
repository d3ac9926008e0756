package rdrr

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/rdrr/quant"
)

// Header is what an artifact says of itself beside its tensors.
type Header struct {
	ModelID      string // for people; required
	ModelType    string // the configuration's model_type; required
	Quantization string // for people: "Q4_K_M", "Q8_0", "BF16" ...
	Config       json.RawMessage
	MoE          *MoE // nil if dense
}

// WriterOptions change how an artifact is written; the zero value is what readers expect.
type WriterOptions struct {
	Replace    bool      // put the new artifact in the place of one that is there
	ShardBytes int64     // trunk shards hold at most this much unless a single tensor is larger; 0: 256 MiB
	Algorithm  Algorithm // "": SHA-256
}

const (
	defaultShardBytes = 256 << 20
	tensorAlign       = 64 // bytes: tensors start at multiples of it within their shard
)

// Writer writes an artifact: first the trunk's tensors, then the experts one after the other, each in a shard of its own. It
// holds no tensor. Everything goes to a temporary folder beside the destination, which takes the destination's name in
// [Writer.Commit] and is removed in [Writer.Abort].
type Writer struct {
	dir, partial string
	header       Header
	options      WriterOptions

	shards  []Shard
	tensors []TensorEntry
	files   []FileEntry
	names   map[string]bool
	experts map[expertKey]bool // experts that were begun
	current *expertKey         // the expert whose shard is open; nil in the trunk
	out     *shardFile         // nil if no shard is open
	done    bool
}

// Create begins an artifact that is to become the folder dir. It refuses a folder that is not empty, unless told to replace
// it, and then refuses one that is no artifact. The caller defers [Writer.Abort], which does nothing after a Commit.
func Create(dir string, h Header, o WriterOptions) (*Writer, error) {
	if h.ModelID == "" || h.ModelType == "" || !isObject(h.Config) {
		return nil, errors.New("create model: id, type or configuration is missing")
	}
	if o.Algorithm == "" {
		o.Algorithm = SHA256
	}
	if o.ShardBytes <= 0 {
		o.ShardBytes = defaultShardBytes
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("create model: %w", err)
	}
	if err := checkDestination(dir, o.Replace); err != nil {
		return nil, fmt.Errorf("create model: %w", err)
	}
	partial, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".partial-*")
	if err != nil {
		return nil, fmt.Errorf("create model: %w", err)
	}
	if err := os.Chmod(partial, 0o755); err != nil {
		os.Remove(partial)
		return nil, fmt.Errorf("create model: %w", err)
	}
	return &Writer{dir: dir, partial: partial, header: h, options: o, names: map[string]bool{}, experts: map[expertKey]bool{}}, nil
}

func checkDestination(dir string, replace bool) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return fmt.Errorf("%s is no folder that could be written: %w", dir, err)
	case !replace:
		return fmt.Errorf("%s exists and is not empty; name another folder or ask to replace it", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, ManifestFile)); err != nil {
		return fmt.Errorf("%s is not empty and holds no %s: it is not replaced", dir, ManifestFile)
	}
	return nil
}

// Add writes a tensor. Trunk tensors come first, in any order; then each expert's tensors, one expert after the other. Routers,
// norms and vectors must be plain floats. t.Data is not kept.
func (w *Writer) Add(t *Tensor) error {
	if err := w.add(t); err != nil {
		return fmt.Errorf("write tensor %s: %w", t.Name, err)
	}
	return nil
}

func (w *Writer) add(t *Tensor) error {
	if err := w.check(t); err != nil {
		return err
	}
	if err := w.place(t); err != nil {
		return err
	}
	offset, err := w.out.append(t.Data)
	if err != nil {
		return err
	}
	w.names[t.Name] = true
	w.tensors = append(w.tensors, TensorEntry{Name: t.Name, Type: t.Type, Shape: t.Shape, Role: t.Role,
		Spans: []Span{{Shard: len(w.shards), Offset: offset, Size: int64(len(t.Data))}}})
	return nil
}

func (w *Writer) check(t *Tensor) error {
	if w.done {
		return errors.New("the artifact is finished")
	}
	if err := checkTensorName(t.Name); err != nil {
		return err
	}
	if w.names[t.Name] {
		return errors.New("is written twice")
	}
	if !t.Type.Valid() || !t.Role.known() {
		return fmt.Errorf("type %s, role %q", t.Type, t.Role)
	}
	if err := checkShape(t.Shape); err != nil {
		return err
	}
	want, err := storedBytes(t.Type, t.Shape)
	if err != nil {
		return err
	}
	if int64(len(t.Data)) != want {
		return fmt.Errorf("has %d bytes, %s of shape %v takes %d", len(t.Data), t.Type, t.Shape, want)
	}
	switch t.Role {
	case RoleNorm, RoleRouter, RoleVector:
		if t.Type != quant.F32 && t.Type != quant.F16 && t.Type != quant.BF16 {
			return fmt.Errorf("a %s is never quantised, and this is %s", t.Role, t.Type)
		}
	}
	return nil
}

// place makes w.out the shard that the tensor goes to.
func (w *Writer) place(t *Tensor) error {
	layer, expert, _, isExpert := SplitExpertName(t.Name)
	key := expertKey{layer, expert}
	switch {
	case isExpert && w.current != nil && *w.current == key:
		return nil
	case isExpert && w.experts[key]:
		return errors.New("comes after another expert has begun")
	case isExpert:
		w.experts[key], w.current = true, &key
	case w.current != nil:
		return errors.New("belongs to the trunk but comes after an expert")
	case w.out != nil && w.out.size > 0 && w.out.aligned()+int64(len(t.Data)) <= w.options.ShardBytes:
		return nil
	}
	if err := w.closeShard(); err != nil {
		return err
	}
	var err error
	w.out, err = createShard(filepath.Join(w.partial, shardName(len(w.shards))), w.options.Algorithm)
	return err
}

func shardName(i int) string { return fmt.Sprintf("shard_%05d.bin", i) }

func (w *Writer) closeShard() error {
	if w.out == nil {
		return nil
	}
	out := w.out
	w.out = nil
	sum, err := out.finish()
	w.shards = append(w.shards, Shard{File: shardName(len(w.shards)), Size: out.size, Algorithm: w.options.Algorithm, Hash: sum})
	return err
}

// AddFile adds a file that travels with the weights, such as tokenizer.json.
func (w *Writer) AddFile(name string, data []byte) error {
	if err := checkFileName(name); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if len(data) > maxFileBytes {
		return fmt.Errorf("write file %s: %d bytes, over the limit of %d", name, len(data), maxFileBytes)
	}
	h := w.options.Algorithm.new()
	h.Write(data)
	w.files = append(w.files, FileEntry{Name: name, Size: int64(len(data)), Algorithm: w.options.Algorithm, Hash: hexSum(h)})
	return os.WriteFile(filepath.Join(w.partial, name), data, 0o644)
}

// Commit writes the manifest, checks it as a reader would, and gives the folder its name. It returns the artifact's digest.
func (w *Writer) Commit() (Digest, error) {
	defer w.Abort()
	if w.done {
		return Digest{}, errors.New("write model: the artifact is finished")
	}
	if err := w.closeShard(); err != nil {
		return Digest{}, fmt.Errorf("write model: %w", err)
	}
	raw, err := w.encodeManifest()
	if err != nil {
		return Digest{}, fmt.Errorf("write model: %w", err)
	}
	m, err := ParseManifest(raw, nil)
	if err != nil {
		return Digest{}, fmt.Errorf("write model: %w", err)
	}
	if err := os.WriteFile(filepath.Join(w.partial, ManifestFile), raw, 0o644); err != nil {
		return Digest{}, fmt.Errorf("write model: %w", err)
	}
	if err := w.rename(); err != nil {
		return Digest{}, fmt.Errorf("write model: %w", err)
	}
	w.done = true
	return m.Digest(), nil
}

// rename puts the finished folder in its place. An artifact that is there is moved aside first and comes back on an error.
func (w *Writer) rename() error {
	if err := checkDestination(w.dir, w.options.Replace); err != nil {
		return err
	}
	aside := w.partial + ".old"
	err := os.Rename(w.dir, aside)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Rename(w.partial, w.dir)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(w.partial, w.dir); err != nil {
		return errors.Join(err, os.Rename(aside, w.dir))
	}
	return os.RemoveAll(aside)
}

// Abort removes what was written. After a Commit it does nothing.
func (w *Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	if w.out != nil {
		w.out.file.Close()
		w.out = nil
	}
	os.RemoveAll(w.partial)
}
