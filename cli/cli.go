// Package cli is the command line: it turns flags into the parts of the program and connects them.
//
//	cli.go      the commands and how they end       run.go      the gateway: assembled, started, drained
//	options.go  flags of run                        front.go    from an accepted connection to the wire
//	check.go    files without sockets               get.go      objects and statuses of a running gateway
//	echo.go     a backend for trying things out     logging.go  where logs go
//	health.go   is the gateway ready?               notify.go   telling systemd
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/wicketgate/wicketgate/admin"
)

// Program is what main knows of the process.
type Program struct {
	Version        admin.Version
	Stdout, Stderr io.Writer
	Stdin          io.Reader // nil: there is nothing to read
	// Signals begins to listen for the user's signals, and to outlive the readers of its output; only commands that serve call it, the others die of
	// them. Nil: there are none.
	Signals func() Signals
	// LogThrough makes libraries that have loggers of their own, the process's, use this one; only commands that serve call it. Nil: they are left alone.
	LogThrough func(*slog.Logger)
}

// Signals have a value for each signal that came.
type Signals struct {
	Reload <-chan struct{} // SIGHUP: read the files again
	Stop   <-chan struct{} // SIGTERM, SIGINT: the first drains, the second ends at once
	Reopen <-chan struct{} // SIGUSR1: open the access log anew; nil where there is no such signal
}

// exitError ends a command with a status code and no further message.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Execute runs the command that args name and returns the process's exit status.
func Execute(ctx context.Context, p Program, args []string) int {
	root := newRoot(p)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	fmt.Fprintf(p.Stderr, "Error: %v\n", err)
	return 1
}

func (p Program) signals() Signals {
	if p.Signals == nil {
		return Signals{}
	}
	return p.Signals()
}

// newRoot makes the command tree. Without a sub-command it is run.
func newRoot(p Program) *cobra.Command {
	run := newRun(p)
	root := &cobra.Command{
		Use:   "wicketgate",
		Short: "A Gateway API gateway without Kubernetes",
		Long: `Wicketgate serves HTTP and HTTPS by the Gateway API YAML in a directory, and follows that directory as it changes.
The YAML is the YAML that a cluster takes: Gateways, HTTPRoutes, Services, EndpointSlices, Secrets.

Without a command it is "wicketgate run".`,
		Example: `  wicketgate run --config ./gateway           # serve a directory
  wicketgate check ./gateway                  # what is wrong with it?
  wicketgate get gateways,httproutes -A       # what does the running gateway say?
  wicketgate echo --listen 127.0.0.1:3000     # a backend to try things out`,
		Version:       p.Version.GitVersion,
		Args:          noSuchCommand,
		RunE:          run.RunE,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.Flags().AddFlagSet(run.Flags())
	root.AddCommand(run, newCheck(p), newGet(p), newEcho(p), newHealth(p), newCA(p), newVersion(p))
	root.SetFlagErrorFunc(wrongFlag)
	return root
}

func newVersion(p Program) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  wicketgate version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := p.Version
			fmt.Fprintf(p.Stdout, "wicketgate %s", v.GitVersion)
			if v.GitCommit != "" {
				fmt.Fprintf(p.Stdout, " (%s)", v.GitCommit)
			}
			fmt.Fprintf(p.Stdout, "\n%s %s\n", v.GoVersion, v.Platform)
			return nil
		},
	}
}
