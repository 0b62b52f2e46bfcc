// The state directory: what outlives a restart is kept there.

package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/state"
)

// noStateDir is the value of --state-dir that asks for none.
const noStateDir = "none"

// stateDir finds the state directory, makes it if need be, and returns its absolute path; "" means that there is none. What --state-dir names
// is used or nothing; without it the first usable one of $STATE_DIRECTORY (systemd's) and $XDG_STATE_HOME/wicketgate (or its default in the home
// directory) is. To serve matters more than to remember: without a usable directory there is a warning, and no error.
func stateDir(flag string, log *slog.Logger) string {
	if flag == noStateDir {
		return ""
	}
	candidates := []string{flag}
	if flag == "" {
		candidates = defaultStateDirs(os.Getenv, os.UserHomeDir)
	}
	var errs []error
	for _, dir := range candidates {
		abs, err := makeStateDir(dir)
		if err == nil {
			return abs
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("neither $STATE_DIRECTORY nor $XDG_STATE_HOME nor a home directory is set"))
	}
	log.Warn("there is no state directory: after a restart nothing is known of earlier versions of broken files (name one with --state-dir, or none)",
		"error", errors.Join(errs...))
	return ""
}

// admittedFormat is the version of what config keeps in the state directory: count it up when older programs could not read it.
const admittedFormat = 1

// openStore opens the part of the state directory that holds admitted objects. Without a directory there is none.
func openStore(dir string, log *slog.Logger) config.Store {
	if dir == "" {
		return nil
	}
	store, err := state.Open(filepath.Join(dir, "admitted"), "admitted", admittedFormat)
	if err != nil {
		log.Warn("the state directory cannot be used: after a restart nothing is known of earlier versions of broken files", "error", err)
		return nil
	}
	return store
}

// defaultStateDirs lists where to keep state if no flag says so.
func defaultStateDirs(env func(string) string, home func() (string, error)) (list []string) {
	if dirs := env("STATE_DIRECTORY"); dirs != "" { // systemd names several with colons between them
		first, _, _ := strings.Cut(dirs, ":")
		list = append(list, first)
	}
	// The XDG specification has relative paths ignored.
	if base := env("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return append(list, filepath.Join(base, "wicketgate"))
	}
	if dir, err := home(); err == nil && filepath.IsAbs(dir) {
		list = append(list, filepath.Join(dir, ".local", "state", "wicketgate"))
	}
	return list
}

// makeStateDir creates a directory that only its owner may enter, unless it is there, and makes sure that files can be written in it.
func makeStateDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(abs, ".writable-*")
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return "", fmt.Errorf("%s: %w", abs, err)
	}
	return abs, nil
}
