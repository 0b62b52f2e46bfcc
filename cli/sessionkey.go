// The key that proves that sessions' tokens are the gateway's own. It is kept in the state directory, so that sessions outlive a restart; gateways
// that share a copy of it know each other's sessions.

package cli

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/wicketgate/wicketgate/state"
)

// sessionKeySize is the size of a key, in bytes.
const sessionKeySize = 32

// sessionKey reads the key, or makes one and keeps it. Where that is impossible there is one for this process alone.
func sessionKey(stateDir string, log *slog.Logger) []byte {
	fresh := make([]byte, sessionKeySize)
	_, _ = rand.Read(fresh) // never fails
	if stateDir == "" {
		return fresh
	}
	dir, err := state.Open(filepath.Join(stateDir, "sessions"), "session-key", 1)
	if err == nil {
		var key []byte
		if key, err = dir.Read("key"); err == nil && len(key) == sessionKeySize {
			return key
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, state.ErrUnusable) {
			err = dir.Write("key", fresh)
		}
	}
	if err != nil {
		log.Warn("sessions (sessionPersistence) will not outlive a restart", "error", err)
	}
	return fresh
}
