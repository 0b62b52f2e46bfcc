// run: the gateway from its first file to its last request.

package cli

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/wicketgate/wicketgate/admin"
	"github.com/wicketgate/wicketgate/listeners"
)

func newRun(p Program) *cobra.Command {
	o := &runOptions{}
	c := &cobra.Command{
		Use:   "run --config DIR",
		Short: "Serve a directory of Gateway API YAML and follow its changes",
		Long: `Run serves what the files say and keeps itself equal to them: an edit is served a moment after it is saved.
A file that cannot be used keeps its last usable version in force, and everything else is served.

SIGHUP reads the files again; SIGUSR1 opens the access log anew, after it was renamed. SIGTERM and SIGINT stop accepting and let requests
finish within --drain-timeout; a second one ends at once. The exit status is 0 if all have finished, 3 if some were broken off, and 1 if
the gateway could not start or broke.`,
		Example: `  wicketgate run --config ./gateway
  wicketgate run --config ./gateway --port-map 80=8080,443=8443      # without root
  wicketgate run --config ./infra --config ./shop:shop --strict`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error { return runGateway(c.Context(), p, o) },
	}
	o.register(c.Flags())
	return c
}

// runGateway runs until it is told to stop, and returns an error if it could not start or broke.
func runGateway(ctx context.Context, p Program, o *runOptions) error {
	s, err := o.understand()
	if err != nil {
		return err
	}
	log, err := newLogger(p.Stderr, o.logLevel, o.logFormat)
	if err != nil {
		return err
	}
	if p.LogThrough != nil {
		p.LogThrough(log)
	}
	signals := p.signals() // before the first line of the log, and so that none ends a process that is about to serve
	applyMemoryLimit(os.DirFS("/"), os.Getenv, log)
	s.stateDir = stateDir(o.stateDir, log)
	s.sessionKey = sessionKey(s.stateDir, log)
	inherited, err := listeners.Inherit(os.Getenv, os.Getpid())
	if err != nil {
		log.Warn("not every socket that the service manager passed on can be used", "error", err)
	}
	access, err := openAccessLog(o, log)
	if err != nil {
		return err
	}
	if access != nil {
		defer access.Close()
	}
	g, err := assemble(o, s, log, p.Version, inherited, access)
	if err != nil {
		return err
	}
	defer g.proxy.Close()
	g.notify = newNotifier(ctx, os.Getenv, log)
	defer g.notify.close()
	g.admin, err = admin.Listen(ctx, o.admin, admin.Options{
		Source: g.loop, Metrics: g.metrics, Version: p.Version, Hosts: o.adminHosts, TokenFile: o.adminTokenFile, TLS: o.adminTLS,
		Stopping: g.stopping.Load, Log: log,
	})
	if err != nil {
		return err
	}
	defer g.admin.Close()
	g.own(nil)
	log.Info("starting", "version", p.Version.GitVersion, "config", o.roots, "admin", g.admin.Address())
	g.signals = signals
	return g.run(ctx, o.pollInterval)
}

// run drives the parts until the first of them breaks or a stop is asked for, and then drains.
func (g *running) run(ctx context.Context, poll time.Duration) error {
	loopCtx, endLoop := context.WithCancel(ctx)
	defer endLoop()
	// The watch begins before the first load, so that no change falls between the two.
	changes, err := g.loader.Watch(loopCtx, g.log)
	if err != nil {
		g.log.Warn("changes are found by polling alone (on Linux, raise fs.inotify.max_user_instances)", "error", err, "poll_interval", poll)
	}
	polled, rotated := g.loader.Poll(loopCtx, poll), g.certificates.secrets.Poll(loopCtx, poll)
	looped, served := make(chan error, 1), make(chan error, 1)
	var loop sync.WaitGroup
	loop.Go(func() { looped <- g.loop.Run(loopCtx) })
	loop.Go(func() { g.notify.follow(loopCtx, g.loop) })
	loop.Go(func() { g.certificates.engine.Run(loopCtx) })
	loop.Go(func() { settle(loopCtx, g.front.connections.Load) })
	var keeper sync.WaitGroup // a slow disk holds up no drain
	keeper.Go(func() { g.loader.Keep(loopCtx) })
	defer keeper.Wait()
	defer endLoop()
	end := func() error {
		endLoop()
		return g.end(ctx, loop.Wait)
	}
	go func() { served <- g.admin.Serve() }()
	for {
		select {
		case <-changes:
			g.loop.Trigger()
		case <-polled:
			g.loop.Trigger()
		case <-rotated:
			g.loop.Trigger()
		case <-g.signals.Reopen:
			if g.access != nil {
				g.access.Reopen()
			}
		case <-g.signals.Reload:
			g.log.Info("reload asked for by signal")
			g.loop.Demand()
		case err := <-served:
			return errors.Join(err, end())
		case err := <-looped:
			if err != nil {
				return err
			}
			return end()
		case <-ctx.Done():
			return end()
		case <-g.signals.Stop:
			return end()
		}
	}
}

// end stops accepting, lets what is in flight finish, and returns when all is over, with errBrokenOff if something did not finish. looped waits for the end of the reload loop, which has been
// asked for.
func (g *running) end(ctx context.Context, looped func()) error {
	g.stopping.Store(true)
	g.notify.stopping()
	g.log.Info("stopping: requests in flight may finish", "timeout", g.drainTimeout)
	begun := time.Now()
	looped() // so that no run opens sockets again
	g.sockets.Close()
	g.packets.Close()
	until, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), g.drainTimeout, errDrainTimeout)
	defer cancel()
	hurried := false
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		g.front.drain(until)
	}()
	select {
	case <-drained:
	case <-g.signals.Stop:
		hurried = true
		cancel()
		<-drained
	}
	g.loop.Drained()
	switch {
	case hurried:
		g.log.Warn("stopped at once on a second signal; requests in flight were broken off")
		return errBrokenOff
	case errors.Is(context.Cause(until), errDrainTimeout):
		g.log.Warn("stopped; requests that had not finished within --drain-timeout were broken off", "after", time.Since(begun).Round(time.Millisecond))
		return errBrokenOff
	default:
		g.log.Info("stopped", "after", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// errBrokenOff tells whoever asked for the stop that clients noticed it.
const errBrokenOff exitError = 3

var errDrainTimeout = errors.New("the drain timeout has passed")
