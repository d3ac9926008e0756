package p2p

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// identityFile holds the Ed25519 key that a peer id is made from, as libp2p's PrivateKey protobuf.
const identityFile = "identity.key"

// loadIdentity returns the key of dir, made on first use; with an empty dir a key that lasts as long as the process.
func loadIdentity(dir string) (crypto.PrivKey, error) {
	if dir == "" {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		return key, err
	}
	path := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createIdentity(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	key, err := crypto.UnmarshalPrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("identity %s is not a key: %w; delete it to get a new peer id", path, err)
	}
	return key, nil
}

// createIdentity writes the whole key beside path first, so that no process ever reads half a key; of two processes that
// create it at once, both use the one that came first.
func createIdentity(dir, path string) (crypto.PrivKey, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	data, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(dir, identityFile+".partial-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err == nil {
		return key, nil
	} else if errors.Is(err, fs.ErrExist) {
		return loadIdentity(dir)
	}
	// A file system without hard links.
	if err := os.Rename(tmp.Name(), path); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return key, nil
}
