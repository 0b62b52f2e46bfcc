// Command wicketgate is a Gateway API gateway without Kubernetes.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // roots for images that have none

	"github.com/wicketgate/wicketgate/admin"
	"github.com/wicketgate/wicketgate/cli"
	"github.com/wicketgate/wicketgate/tls/obtain"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	os.Exit(cli.Execute(context.Background(), cli.Program{
		Version: buildVersion(),
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Stdin:   os.Stdin,
		Signals: func() cli.Signals {
			outliveReaders()
			return cli.Signals{
				Reload: signals(syscall.SIGHUP), Stop: signals(syscall.SIGTERM, os.Interrupt), Reopen: signals(reopenSignals()...),
			}
		},
		LogThrough: logThrough,
	}, os.Args[1:]))
}

// logThrough has the standard library's logger, which quic-go uses, and certmagic's write lines of the gateway's log.
func logThrough(log *slog.Logger) {
	slog.SetDefault(log)
	obtain.LogThrough(log)
}

// outliveReaders has the process go on when whoever read its log or access log through a pipe has gone: Go would end it at the next line. A signal that
// is taken and dropped is, unlike one that is ignored, not passed on to programs that are started (--acme-dns-hook).
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// signals turns signals into values of a channel. Two are kept: the first asks for something, the second insists.
func signals(list ...os.Signal) <-chan struct{} {
	if len(list) == 0 {
		return nil // Notify would take that for all of them
	}
	in, out := make(chan os.Signal, 2), make(chan struct{}, 2)
	signal.Notify(in, list...)
	go func() {
		for range in {
			out <- struct{}{}
		}
	}()
	return out
}

// buildVersion says what is running, by the linker's word or else by what the go command has noted down.
func buildVersion() admin.Version {
	v := admin.Version{
		GitVersion: version, GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.GitVersion == "" {
		v.GitVersion = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.GitCommit = s.Value
		case "vcs.time":
			v.BuildDate = s.Value
		case "vcs.modified":
			v.GitTreeState = "clean"
			if s.Value == "true" {
				v.GitTreeState = "dirty"
			}
		}
	}
	return v
}
