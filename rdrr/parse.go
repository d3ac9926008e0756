package rdrr

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ParseManifest reads and checks a manifest. readFile fetches the file of tensors that some writers put beside it; it may be nil
// where there is none.
func ParseManifest(data []byte, readFile func(name string) ([]byte, error)) (*Manifest, error) {
	m, err := parseManifest(data, readFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestFile, err)
	}
	return m, nil
}

func parseManifest(data []byte, readFile func(name string) ([]byte, error)) (*Manifest, error) {
	if len(data) > maxManifestBytes {
		return nil, fmt.Errorf("%d bytes, over the limit of %d", len(data), maxManifestBytes)
	}
	var w wireManifest
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, err
	}
	if err := checkVersion(w.Version); err != nil {
		return nil, err
	}
	if w.ModelID == "" || w.ModelType == "" {
		return nil, errors.New("modelId or modelType is missing")
	}
	m := &Manifest{Version: Version, ModelID: w.ModelID, ModelType: w.ModelType, Quantization: w.Quantization, Config: w.Config}
	if !isObject(m.Config) {
		return nil, errors.New("config is missing: without the model's configuration its tensors mean nothing; convert the model again")
	}
	if err := m.parseShards(w); err != nil {
		return nil, err
	}
	tensors := w.Tensors
	if w.TensorsFile != "" {
		if isPresent(tensors) {
			return nil, errors.New("has both tensors and tensorsFile")
		}
		var err error
		if tensors, err = readTensorsFile(w.TensorsFile, readFile); err != nil {
			return nil, err
		}
	}
	if err := m.parseTensors(tensors, w); err != nil {
		return nil, err
	}
	if w.TensorCount != nil && *w.TensorCount != int64(len(m.Tensors)) {
		return nil, fmt.Errorf("tensorCount is %d, there are %d tensors", *w.TensorCount, len(m.Tensors))
	}
	if err := m.parseFiles(w); err != nil {
		return nil, err
	}
	if err := m.validate(); err != nil {
		return nil, err
	}
	if err := m.findExperts(w.MoE); err != nil {
		return nil, err
	}
	return m, m.checkExpertMaps(w.MoE, w.Groups)
}

func checkVersion(raw json.RawMessage) error {
	text := strings.Trim(string(raw), `"`)
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(v):
		return fmt.Errorf("version is %.40q, want %d", text, Version)
	case v > Version:
		return fmt.Errorf("version %.40s is newer than %d, the newest this program reads: update the program", text, Version)
	case v != Version:
		return fmt.Errorf("version %.40s is not supported, want %d", text, Version)
	}
	return nil
}

func (m *Manifest) parseShards(w wireManifest) error {
	fallback := BLAKE3 // what readers of version "1.0" assume where nothing is said
	if w.HashAlgorithm != "" {
		var err error
		if fallback, err = parseAlgorithm(w.HashAlgorithm); err != nil {
			return err
		}
	}
	sum := int64(0)
	err := eachElement(w.Shards, maxShards, "shards", func(i int, raw json.RawMessage) error {
		var s wireShard
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		if s.Index != nil && *s.Index != i {
			return fmt.Errorf("shard %d: index is %d", i, *s.Index)
		}
		name := first(s.Filename, s.FileName)
		if err := checkFileName(name); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		if s.Size <= 0 || s.Size > maxShardBytes {
			return fmt.Errorf("shard %d (%s): size %d, want 1 to %d", i, name, s.Size, int64(maxShardBytes))
		}
		if s.Offset != nil && *s.Offset != sum {
			return fmt.Errorf("shard %d (%s): offset %d, the shards before it end at %d", i, name, *s.Offset, sum)
		}
		sum += s.Size
		algorithm := fallback
		if s.Algorithm != "" {
			var err error
			if algorithm, err = parseAlgorithm(s.Algorithm); err != nil {
				return fmt.Errorf("shard %d (%s): %w", i, name, err)
			}
		} else if s.Hash == "" {
			algorithm = BLAKE3
		}
		algorithm, hash, err := parseHash(first(s.Hash, s.Blake3), algorithm)
		if err != nil {
			return fmt.Errorf("shard %d (%s): %w", i, name, err)
		}
		m.Shards = append(m.Shards, Shard{File: name, Size: s.Size, Algorithm: algorithm, Hash: hash})
		return nil
	})
	if err != nil {
		return err
	}
	if len(m.Shards) == 0 {
		return errors.New("names no shards")
	}
	if w.TotalSize != nil && *w.TotalSize != sum {
		return fmt.Errorf("totalSize is %d, the shards have %d bytes", *w.TotalSize, sum)
	}
	return nil
}

func (m *Manifest) parseFiles(w wireManifest) error {
	m.FilesListed = isPresent(w.Files)
	err := eachMember(w.Files, maxFiles, "files", func(name string, raw json.RawMessage) error {
		var f wireFile
		if err := json.Unmarshal(raw, &f); err != nil {
			return fmt.Errorf("file %q: %w", name, err)
		}
		if err := checkFileName(name); err != nil {
			return fmt.Errorf("files: %w", err)
		}
		if f.Size < 0 || f.Size > maxFileBytes {
			return fmt.Errorf("file %s: size %d, want at most %d", name, f.Size, maxFileBytes)
		}
		algorithm, err := parseAlgorithm(first(f.Algorithm, w.HashAlgorithm, string(SHA256)))
		if err != nil {
			return fmt.Errorf("file %s: %w", name, err)
		}
		algorithm, hash, err := parseHash(f.Hash, algorithm)
		if err != nil {
			return fmt.Errorf("file %s: %w", name, err)
		}
		m.Files = append(m.Files, FileEntry{Name: name, Size: f.Size, Algorithm: algorithm, Hash: hash})
		return nil
	})
	slices.SortFunc(m.Files, func(a, b FileEntry) int { return strings.Compare(a.Name, b.Name) })
	return err
}

func (r Role) known() bool {
	switch r {
	case RoleEmbedding, RoleHead, RoleNorm, RoleRouter, RoleMatrix, RoleExpert, RoleVector:
		return true
	}
	return false
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func firstIndex(values ...*int) int {
	for _, v := range values {
		if v != nil {
			return *v
		}
	}
	return 0
}

func isPresent(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }
