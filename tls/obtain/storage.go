// Storages: certmagic's interface, so that every storage written for it serves here.

package obtain

import (
	"context"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// Storage keeps accounts, keys and certificates. Its keys are paths with slashes.
type Storage = certmagic.Storage

// NewFileStorage keeps everything in files below a directory, which only their owner may read. Several processes may share it.
func NewFileStorage(dir string) Storage { return &certmagic.FileStorage{Path: dir} }

// store writes a value as JSON.
func store(ctx context.Context, storage Storage, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return storage.Store(ctx, key, text)
}

// memory is a Storage that is lost with the process.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	locks  map[string]chan struct{} // closed when the lock is free again
}

func newMemory() *memory {
	return &memory{values: map[string][]byte{}, locks: map[string]chan struct{}{}}
}

// Store implements Storage.
func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = slices.Clone(value)
	return nil
}

// Load implements Storage.
func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(value), nil
}

// Delete implements Storage.
func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.values {
		if k == key || strings.HasPrefix(k, key+"/") {
			delete(m.values, k)
		}
	}
	return nil
}

// Exists implements Storage.
func (m *memory) Exists(_ context.Context, key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.values {
		if k == key || strings.HasPrefix(k, key+"/") {
			return true
		}
	}
	return false
}

// List implements Storage.
func (m *memory) List(_ context.Context, prefix string, recursive bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for k := range m.values {
		rest, ok := strings.CutPrefix(k, prefix+"/")
		if !ok {
			continue
		}
		if first, _, deeper := strings.Cut(rest, "/"); deeper && !recursive {
			k = path.Join(prefix, first)
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if keys = slices.Compact(keys); len(keys) == 0 {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// Stat implements Storage.
func (m *memory) Stat(_ context.Context, key string) (certmagic.KeyInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return certmagic.KeyInfo{}, fs.ErrNotExist
	}
	return certmagic.KeyInfo{Key: key, Size: int64(len(value)), Modified: time.Now(), IsTerminal: true}, nil
}

// Lock implements Storage.
func (m *memory) Lock(ctx context.Context, name string) error {
	for {
		m.mu.Lock()
		held := m.locks[name]
		if held == nil {
			m.locks[name] = make(chan struct{})
			m.mu.Unlock()
			return nil
		}
		m.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unlock implements Storage.
func (m *memory) Unlock(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.locks[name]; held != nil {
		close(held)
		delete(m.locks, name)
	}
	return nil
}
