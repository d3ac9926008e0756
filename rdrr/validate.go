package rdrr

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// validate checks what parsing did not: that every tensor lies within its shards, has the size its type and shape give, shares
// no byte with another, and that no file is named twice.
func (m *Manifest) validate() error {
	if len(m.Tensors) == 0 {
		return errors.New("names no tensors")
	}
	for i, t := range m.Tensors {
		if i > 0 && t.Name == m.Tensors[i-1].Name {
			return fmt.Errorf("tensor %s is there twice", t.Name)
		}
		if err := m.checkTensor(t); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
	if err := m.checkOverlap(); err != nil {
		return err
	}
	return m.checkFiles()
}

func (m *Manifest) checkTensor(t TensorEntry) error {
	want, err := storedBytes(t.Type, t.Shape)
	if err != nil {
		return err
	}
	size := int64(0)
	for _, s := range t.Spans {
		if s.Shard < 0 || s.Shard >= len(m.Shards) {
			return fmt.Errorf("lies in shard %d of %d", s.Shard, len(m.Shards))
		}
		shard := m.Shards[s.Shard]
		if s.Offset < 0 || s.Size <= 0 || s.Offset > shard.Size || s.Size > shard.Size-s.Offset {
			return fmt.Errorf("%d bytes at offset %d lie outside of %s, which has %d", s.Size, s.Offset, shard.File, shard.Size)
		}
		size += s.Size // at most maxSpans * maxShardBytes
	}
	if size != want {
		return fmt.Errorf("has %d bytes, %s of shape %v takes %d", size, t.Type, t.Shape, want)
	}
	return nil
}

func (m *Manifest) checkOverlap() error {
	type piece struct {
		Span
		tensor int
	}
	pieces := make([]piece, 0, len(m.Tensors))
	for i, t := range m.Tensors {
		for _, s := range t.Spans {
			pieces = append(pieces, piece{s, i})
		}
	}
	slices.SortFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Offset, b.Offset))
	})
	for i := 1; i < len(pieces); i++ {
		a, b := pieces[i-1], pieces[i]
		if a.Shard == b.Shard && a.Offset+a.Size > b.Offset {
			return fmt.Errorf("tensors %s and %s overlap in %s", m.Tensors[a.tensor].Name, m.Tensors[b.tensor].Name, m.Shards[a.Shard].File)
		}
	}
	return nil
}

// checkFiles refuses files named twice, letter case aside: some file systems do not tell them apart.
func (m *Manifest) checkFiles() error {
	names := make(map[string]bool, len(m.Shards)+len(m.Files)+1)
	names[ManifestFile] = true
	check := func(name string) error {
		folded := strings.ToLower(name)
		if names[folded] {
			return fmt.Errorf("file %s is named twice", name)
		}
		names[folded] = true
		return nil
	}
	for _, s := range m.Shards {
		if err := check(s.File); err != nil {
			return err
		}
	}
	for _, f := range m.Files {
		if err := check(f.Name); err != nil {
			return err
		}
	}
	return nil
}
