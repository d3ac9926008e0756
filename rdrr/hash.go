package rdrr

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"github.com/zeebo/blake3"
)

// Algorithm is a hash function that a manifest may name. Both give 32 bytes, written as 64 lower-case hex digits.
type Algorithm string

// The hash functions.
const (
	SHA256 Algorithm = "sha256"
	BLAKE3 Algorithm = "blake3"
)

func (a Algorithm) new() hash.Hash {
	if a == BLAKE3 {
		return blake3.New()
	}
	return sha256.New()
}

// other is the function that a digest may belong to when it does not fit the label: one writer computes BLAKE3 where it can
// and labels it sha256 always.
func (a Algorithm) other() Algorithm {
	if a == BLAKE3 {
		return SHA256
	}
	return BLAKE3
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func parseAlgorithm(s string) (Algorithm, error) {
	switch a := Algorithm(strings.ToLower(s)); a {
	case SHA256, BLAKE3:
		return a, nil
	}
	return "", fmt.Errorf("unknown hash algorithm %q, want sha256 or blake3", s)
}

// parseHash reads a hash that may carry its algorithm in front ("sha256:...") and falls back to the given algorithm.
func parseHash(s string, a Algorithm) (Algorithm, string, error) {
	if label, digits, ok := strings.Cut(s, ":"); ok {
		var err error
		if a, err = parseAlgorithm(label); err != nil {
			return "", "", err
		}
		s = digits
	}
	s = strings.ToLower(s)
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size {
		return "", "", fmt.Errorf("hash %.80q is not 64 hex digits", s)
	}
	return a, s, nil
}

// CorruptError says that a file of the artifact does not have the bytes that the manifest promises.
type CorruptError struct {
	File      string
	Algorithm Algorithm
	Want, Got string // hex digits
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is damaged: its %s is %s, the manifest says %s; fetch the file or convert the model again",
		e.File, e.Algorithm, e.Got, e.Want)
}
