package rdrr

import (
	"bufio"
	"errors"
	"hash"
	"io"
	"os"
)

// shardFile is a shard being written.
type shardFile struct {
	file *os.File
	buf  *bufio.Writer // to file and hash
	hash hash.Hash
	size int64
}

func createShard(path string, a Algorithm) (*shardFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	h := a.new()
	return &shardFile{file: f, buf: bufio.NewWriterSize(io.MultiWriter(f, h), 1<<18), hash: h}, nil
}

// aligned is where the next tensor would start.
func (s *shardFile) aligned() int64 { return (s.size + tensorAlign - 1) / tensorAlign * tensorAlign }

func (s *shardFile) append(data []byte) (offset int64, err error) {
	offset = s.aligned()
	if _, err := s.buf.Write(make([]byte, offset-s.size)); err != nil {
		return 0, err
	}
	if _, err := s.buf.Write(data); err != nil {
		return 0, err
	}
	s.size = offset + int64(len(data))
	return offset, nil
}

func (s *shardFile) finish() (sum string, err error) {
	err = errors.Join(s.buf.Flush(), s.file.Close())
	return hexSum(s.hash), err
}
