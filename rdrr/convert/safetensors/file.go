package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/edsrzf/mmap-go"
)

// file is one open safetensors file.
type file struct {
	path     string
	f        *os.File
	mapping  mmap.MMap // nil: read from f
	data     int64     // offset of the tensors' bytes
	entries  []entry
	metadata map[string]string
}

func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &file{path: path, f: f}
	if err := s.readHeader(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *file) readHeader() error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	size := info.Size()
	var length [8]byte
	if size < int64(len(length)) {
		return fmt.Errorf("truncated: %d bytes are no safetensors file", size)
	}
	if _, err := s.f.ReadAt(length[:], 0); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > maxHeaderBytes:
		return fmt.Errorf("header of %d bytes, over the limit of %d: not a safetensors file?", n, maxHeaderBytes)
	case int64(n) > size-8:
		return fmt.Errorf("truncated: its header takes %d bytes, the file has %d; fetch it again", n+8, size)
	}
	header := make([]byte, n)
	if _, err := s.f.ReadAt(header, 8); err != nil {
		return err
	}
	s.data = 8 + int64(n)
	if s.entries, s.metadata, err = parseHeader(header, size-s.data); err != nil {
		return err
	}
	if size > s.data && int64(int(size)) == size {
		if m, err := mmap.MapRegion(s.f, int(size), mmap.RDONLY, 0, 0); err == nil {
			s.mapping = m
		}
	}
	return nil
}

// read returns n bytes at an offset within the data: a part of the map, or a copy where there is none.
func (s *file) read(off, n int64) ([]byte, error) {
	off += s.data
	if s.mapping != nil {
		return s.mapping[off : off+n : off+n], nil
	}
	b := make([]byte, n)
	if _, err := s.f.ReadAt(b, off); err != nil && (err != io.EOF || n > 0) {
		return nil, fmt.Errorf("read %s: %w", s.path, err)
	}
	return b, nil
}

func (s *file) close() error {
	var err error
	if s.mapping != nil {
		err = s.mapping.Unmap()
		s.mapping = nil
	}
	return errors.Join(err, s.f.Close())
}
