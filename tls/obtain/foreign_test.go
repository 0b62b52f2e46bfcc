// certmagic's own words in our log.

package obtain

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"
)

func TestStaleLockIsToldInOurLog(t *testing.T) {
	before := *certmagic.Default.Logger
	defer func() { *certmagic.Default.Logger = before }()
	var log bytes.Buffer
	LogThrough(slog.New(slog.NewJSONHandler(&log, nil)))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "locks"), 0o700); err != nil {
		t.Fatal(err)
	}
	left := `{"created":"2020-01-01T00:00:00Z","updated":"2020-01-01T00:00:00Z"}`
	if err := os.WriteFile(filepath.Join(dir, "locks", "shop.lock"), []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	storage := NewFileStorage(dir)
	if err := storage.Lock(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if err := storage.Unlock(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	line := log.String()
	if strings.Count(line, "\n") != 1 || !strings.Contains(line, `"level":"INFO","msg":"the storage of certificates reports"`) || !strings.Contains(line, "is stale") {
		t.Errorf("log: %s", line)
	}
}
