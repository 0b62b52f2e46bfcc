// echo without HTTP: connections and datagrams get back what they bring.

package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// echoRaw serves sockets until it is closed.
type echoRaw struct {
	name       string
	out        io.Writer   // is told of addresses
	tls        *tls.Config // of connections; nil: they are plain
	introduced bool        // connections begin with a header of the PROXY protocol
	running    sync.WaitGroup

	mu      sync.Mutex
	sockets map[io.Closer]bool
	closed  bool
}

// listen opens sockets and serves them.
func (e *echoRaw) listen(ctx context.Context, tcp, udp []string) error {
	e.sockets = map[io.Closer]bool{}
	for _, address := range tcp {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("cannot listen (choose another address with --tcp): %w", err)
		}
		if e.introduced {
			l = echoListener{l}
		}
		if e.tls != nil {
			l = tls.NewListener(l, e.tls)
		}
		e.add(l)
		fmt.Fprintf(e.out, "echo %q listening on %s (tcp)\n", e.name, l.Addr())
		e.running.Go(func() { e.accept(l) })
	}
	for _, address := range udp {
		c, err := new(net.ListenConfig).ListenPacket(ctx, "udp", address)
		if err != nil {
			return fmt.Errorf("cannot listen (choose another address with --udp): %w", err)
		}
		e.add(c)
		fmt.Fprintf(e.out, "echo %q listening on %s (udp)\n", e.name, c.LocalAddr())
		e.running.Go(func() { e.answer(c) })
	}
	return nil
}

// add registers what close closes, or closes it at once.
func (e *echoRaw) add(c io.Closer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		_ = c.Close() // nothing is lost that somebody waits for
		return
	}
	e.sockets[c] = true
}

// close closes everything and waits.
func (e *echoRaw) close() {
	e.mu.Lock()
	e.closed = true
	for c := range e.sockets {
		_ = c.Close() // nothing is lost that somebody waits for
	}
	e.mu.Unlock()
	e.running.Wait()
}

func (e *echoRaw) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		e.add(c)
		e.running.Go(func() {
			defer func() {
				e.mu.Lock()
				delete(e.sockets, c)
				e.mu.Unlock()
				_ = c.Close() // the client has left
			}()
			if _, err := fmt.Fprintln(c, e.name); err == nil {
				_, _ = io.Copy(c, c) // a client that leaves is its own problem
			}
		})
	}
}

// answer sends datagrams back. A name that makes one too long is left out.
func (e *echoRaw) answer(c net.PacketConn) {
	const largest = 65507
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		reply := append([]byte(e.name+" "), buf[:n]...)
		if len(reply) > largest {
			reply = buf[:n]
		}
		_, _ = c.WriteTo(reply, from) // a client that has left is its own problem
	}
}
