package rdrr

import (
	"context"
	"fmt"
	"hash"
	"io"
)

// bytes returns a tensor's bytes: a part of the mapped shard if it lies in one piece there, a copy otherwise.
func (m *Model) bytes(t TensorEntry) ([]byte, error) {
	if len(t.Spans) == 1 {
		return m.span(t.Spans[0])
	}
	var data []byte // grows by spans whose bytes are there, whatever the manifest claims
	for _, s := range t.Spans {
		piece, err := m.span(s)
		if err != nil {
			return nil, err
		}
		data = append(data, piece...)
	}
	return data, nil
}

// span returns a piece of a shard after checking, once, that the shard has the bytes that the manifest promises.
func (m *Model) span(s Span) ([]byte, error) {
	entry, shard := m.manifest.Shards[s.Shard], &m.shards[s.Shard]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.closed {
		return nil, fmt.Errorf("%s: the model is closed", entry.File)
	}
	if shard.mapping != nil {
		return shard.mapping[s.Offset : s.Offset+s.Size : s.Offset+s.Size], nil
	}
	f, err := m.folder.openSized(entry.File, entry.Size)
	if err != nil {
		return nil, err
	}
	defer f.close()
	mapping := f.mapped()
	if !shard.verified {
		if err := verifyFile(context.Background(), f, entry, nil); err != nil {
			if mapping != nil {
				mapping.Unmap()
			}
			return nil, err
		}
		shard.verified = true
	}
	if mapping != nil {
		shard.mapping = mapping
		return mapping[s.Offset : s.Offset+s.Size : s.Offset+s.Size], nil
	}
	data := make([]byte, s.Size)
	if _, err := f.ReadAt(data, s.Offset); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", entry.File, err)
	}
	return data, nil
}

// verifyFile hashes a shard. If the hash does not fit its label, the other function is tried before the shard is refused:
// either one, found to agree, is proof of the content.
func verifyFile(ctx context.Context, f *file, entry Shard, progress func(n int64)) error {
	got, err := hashFile(ctx, f, entry.Algorithm.new(), progress)
	if err != nil {
		return fmt.Errorf("read %s: %w", entry.File, err)
	}
	if got == entry.Hash {
		return nil
	}
	if other, err := hashFile(ctx, f, entry.Algorithm.other().new(), nil); err != nil {
		return fmt.Errorf("read %s: %w", entry.File, err)
	} else if other == entry.Hash {
		return nil
	}
	return &CorruptError{File: entry.File, Algorithm: entry.Algorithm, Want: entry.Hash, Got: got}
}

func hashFile(ctx context.Context, f *file, h hash.Hash, progress func(n int64)) (string, error) {
	buf := make([]byte, min(1<<20, f.size))
	for off := int64(0); off < f.size; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), f.size-off)], off)
		h.Write(buf[:n])
		off += int64(n)
		if progress != nil {
			progress(int64(n))
		}
		if err != nil && (err != io.EOF || off < f.size) {
			return "", err
		}
	}
	return hexSum(h), nil
}

func checkHash(name string, a Algorithm, want string, data []byte) error {
	h := a.new()
	h.Write(data)
	if got := hexSum(h); got != want {
		return &CorruptError{File: name, Algorithm: a, Want: want, Got: got}
	}
	return nil
}
