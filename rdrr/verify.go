package rdrr

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Progress says how far a check of all files has come.
type Progress struct {
	File        string // the file just finished, or being read
	Done, Total int64  // bytes
}

// VerifyAll reads every file of the artifact and checks sizes and hashes. Its error names every file that is missing or
// damaged, in the manifest's order. progress may be nil; calls to it do not overlap.
func (m *Model) VerifyAll(ctx context.Context, progress func(Progress)) error {
	total := m.manifest.TotalSize()
	for _, f := range m.manifest.Files {
		total += f.Size
	}
	var mu sync.Mutex
	done := int64(0)
	report := func(file string, n int64) {
		mu.Lock()
		defer mu.Unlock()
		done += n
		if progress != nil {
			progress(Progress{File: file, Done: done, Total: total})
		}
	}
	bad := make([]error, len(m.shards)+len(m.manifest.Files))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range m.shards {
		g.Go(func() error {
			bad[i] = m.verifyShard(ctx, i, report)
			return nil
		})
	}
	for i, f := range m.manifest.Files {
		g.Go(func() error {
			_, bad[len(m.shards)+i] = m.file(f.Name)
			report(f.Name, f.Size)
			return nil
		})
	}
	g.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := errors.Join(bad...); err != nil {
		return fmt.Errorf("model %s: %w", m.name, err)
	}
	return nil
}

func (m *Model) verifyShard(ctx context.Context, i int, report func(string, int64)) error {
	if ctx.Err() != nil {
		return nil // VerifyAll reports it
	}
	entry := m.manifest.Shards[i]
	f, err := m.folder.openSized(entry.File, entry.Size)
	if err != nil {
		return err
	}
	defer f.close()
	if err := verifyFile(ctx, f, entry, func(n int64) { report(entry.File, n) }); err != nil {
		return err
	}
	s := &m.shards[i]
	s.mu.Lock()
	s.verified = true
	s.mu.Unlock()
	return nil
}
