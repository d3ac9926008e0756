package rdrr

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/edsrzf/mmap-go"
)

// Model is an open artifact. Its methods are safe for concurrent use.
type Model struct {
	folder   folder
	name     string // for errors: the folder's path, or "artifact"
	manifest *Manifest
	raw      []byte
	digest   Digest
	shards   []openShard
}

// openShard is what a Model knows of a shard that was used.
type openShard struct {
	mu       sync.Mutex
	verified bool
	closed   bool
	mapping  mmap.MMap // nil: read from the file
}

// OpenDir opens the artifact in a folder. Shards are memory-mapped when first used, or read where that is not possible;
// a shard that is missing or damaged is an error only then. The caller closes the model.
func OpenDir(dir string) (*Model, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	m, err := open(folder{files: root.FS(), root: root}, dir)
	if err != nil {
		root.Close()
		return nil, err
	}
	return m, nil
}

// Open opens an artifact in a file system, such as one embedded in a program. Tensors are read into memory of their own.
func Open(files fs.FS) (*Model, error) { return open(folder{files: files}, "artifact") }

func open(f folder, name string) (*Model, error) {
	raw, err := f.readAll(ManifestFile, maxManifestBytes)
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	manifest, err := ParseManifest(raw, func(file string) ([]byte, error) { return f.readAll(file, maxManifestBytes) })
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	return &Model{folder: f, name: name, manifest: manifest, raw: raw, digest: manifest.Digest(), shards: make([]openShard, len(manifest.Shards))}, nil
}

// Close releases the mappings. Tensors of the model must no longer be used.
func (m *Model) Close() error {
	var errs []error
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		if s.mapping != nil {
			errs = append(errs, s.mapping.Unmap())
			s.mapping = nil
		}
		s.closed = true
		s.mu.Unlock()
	}
	if m.folder.root != nil {
		errs = append(errs, m.folder.root.Close())
	}
	return errors.Join(errs...)
}

// Manifest returns the checked manifest, which the caller must not change.
func (m *Model) Manifest() *Manifest { return m.manifest }

// Digest is the artifact's identity.
func (m *Model) Digest() Digest { return m.digest }

// Config is the hub-style configuration (config.json), which the caller must not change.
func (m *Model) Config() json.RawMessage { return m.manifest.Config }

// MoE describes the routed experts, nil if there are none.
func (m *Model) MoE() *MoE { return m.manifest.MoE }

// Has reports whether the artifact has a tensor of that canonical name.
func (m *Model) Has(name string) bool {
	_, ok := m.manifest.Tensor(name)
	return ok
}

// Tensor returns a tensor by its canonical name. The first use of a shard checks its hash: a [CorruptError] says that it
// has other bytes than it should, an error that wraps [fs.ErrNotExist] that it is not there or that there is no such tensor.
func (m *Model) Tensor(name string) (*Tensor, error) {
	entry, ok := m.manifest.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("model %s has no tensor %s: %w", m.name, name, fs.ErrNotExist)
	}
	data, err := m.bytes(entry)
	if err != nil {
		return nil, fmt.Errorf("model %s: tensor %s: %w", m.name, name, err)
	}
	return &Tensor{Name: name, Type: entry.Type, Shape: entry.Shape, Role: entry.Role, Data: data}, nil
}

// Expert returns a routed expert. Errors are those of [Model.Tensor].
func (m *Model) Expert(layer, expert int) (*Expert, error) {
	if len(m.manifest.ExpertShards(layer, expert)) == 0 {
		return nil, fmt.Errorf("model %s has no layer %d expert %d", m.name, layer, expert)
	}
	e := &Expert{}
	for _, p := range []struct {
		part ExpertPart
		dst  **Tensor
	}{{GateWeight, &e.Gate}, {UpWeight, &e.Up}, {DownWeight, &e.Down}, {GateBias, &e.GateBias}, {UpBias, &e.UpBias}, {DownBias, &e.DownBias}} {
		name := ExpertTensor(layer, expert, p.part)
		if !m.Has(name) {
			continue // only biases: every expert has its three matrices, or the manifest does not parse
		}
		t, err := m.Tensor(name)
		if err != nil {
			return nil, fmt.Errorf("layer %d expert %d: %w", layer, expert, err)
		}
		*p.dst = t
	}
	return e, nil
}

// File returns a file that travels with the weights (tokenizer.json, generation_config.json ...), its hash checked where the
// artifact records one. "config.json" is the configuration. A file that the artifact does not have is [fs.ErrNotExist].
func (m *Model) File(name string) ([]byte, error) {
	switch name {
	case "config.json":
		return m.manifest.Config, nil
	case ManifestFile:
		return m.raw, nil
	}
	data, err := m.file(name)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.name, err)
	}
	return data, nil
}

func (m *Model) file(name string) ([]byte, error) {
	if !m.manifest.FilesListed {
		if err := checkFileName(name); err != nil {
			return nil, err
		}
		return m.folder.readAll(name, maxFileBytes)
	}
	for _, f := range m.manifest.Files {
		if f.Name != name {
			continue
		}
		data, err := m.folder.readAll(name, f.Size)
		if err != nil {
			return nil, err
		}
		return data, checkHash(name, f.Algorithm, f.Hash, data)
	}
	return nil, fmt.Errorf("no file %s: %w", name, fs.ErrNotExist)
}

// Dir is the folder of a model opened by [OpenDir], as an absolute path, "" for other models.
func (m *Model) Dir() string {
	if m.folder.root == nil {
		return ""
	}
	dir, err := filepath.Abs(m.name)
	if err != nil {
		return m.name
	}
	return dir
}
