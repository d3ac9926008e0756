package rdrr

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/edsrzf/mmap-go"
)

// folder reads the files of an artifact. Names given to it have passed checkFileName.
type folder struct {
	files fs.FS
	root  *os.Root // nil if the artifact is not a folder on disk; it keeps links from leading out of the folder
}

// file is an open file that can be read at any offset.
type file struct {
	io.ReaderAt
	size   int64
	onDisk *os.File // nil if not a file on disk
	close  func() error
}

func (f folder) open(name string) (*file, error) {
	info, err := fs.Stat(f.files, name)
	if err != nil {
		return nil, f.explain(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	h, err := f.files.Open(name)
	if err != nil {
		return nil, f.explain(name, err)
	}
	if r, ok := h.(io.ReaderAt); ok {
		onDisk, _ := h.(*os.File)
		return &file{ReaderAt: r, size: info.Size(), onDisk: onDisk, close: h.Close}, nil
	}
	defer h.Close()
	data, err := io.ReadAll(io.LimitReader(h, info.Size()))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return &file{ReaderAt: bytes.NewReader(data), size: int64(len(data)), close: func() error { return nil }}, nil
}

func (f folder) explain(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: %w; fetch it or convert the model again", name, fs.ErrNotExist)
	}
	return err
}

// openSized opens a file that must have the given size.
func (f folder) openSized(name string, size int64) (*file, error) {
	h, err := f.open(name)
	if err != nil {
		return nil, err
	}
	if h.size != size {
		h.close()
		return nil, fmt.Errorf("%s has %d bytes, the manifest says %d: it is truncated or of another model; fetch it or convert the model again",
			name, h.size, size)
	}
	return h, nil
}

// readAll reads a file of at most limit bytes.
func (f folder) readAll(name string, limit int64) ([]byte, error) {
	h, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer h.close()
	if h.size > limit {
		return nil, fmt.Errorf("%s has %d bytes, over the limit of %d", name, h.size, limit)
	}
	data := make([]byte, h.size)
	if _, err := h.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// mapped maps the file, or returns nil if it cannot be mapped and has to be read instead.
func (f *file) mapped() mmap.MMap {
	if f.onDisk == nil || int64(int(f.size)) != f.size {
		return nil
	}
	m, err := mmap.MapRegion(f.onDisk, int(f.size), mmap.RDONLY, 0, 0)
	if err != nil {
		return nil
	}
	return m
}
