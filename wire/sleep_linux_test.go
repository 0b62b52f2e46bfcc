// Connections that rest: without a goroutine, and in no way that a client could tell.

package wire

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lull sends every idle connection to sleep, until n are asleep.
func (s *testServer) lull(n int) {
	s.t.Helper()
	s.nudgeUntil(func() bool { return s.asleep() == n })
}

// nudgeUntil nudges all connections again and again, as no sweeper would.
func (s *testServer) nudgeUntil(enough func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !enough(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d connections are asleep", s.asleep())
		}
		for _, c := range s.connections(func(c *conn) bool { return c.used.Load() }) {
			if state := c.state.Load(); state&phaseMask == phaseIdle && state&(kicked|nudged) == 0 {
				c.nudge(state)
			}
		}
	}
}

func (s *testServer) asleep() int {
	return len(s.connections(func(c *conn) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.asleep != 0
	}))
}

// serving counts the goroutines that serve connections.
func serving() int {
	stacks := make([]byte, 8<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "wire.(*Server).serve(")
}

// overEach runs a test on each transport, and over TLS.
func overEach(t *testing.T, f func(t *testing.T, s *testServer, dial func() net.Conn)) {
	t.Helper()
	run(t, func(t *testing.T, mode Transport) {
		s := serve(t, mode, Limits{}, echo)
		f(t, s, func() net.Conn { return s.dial().TCPConn })
	})
	t.Run("TLS", func(t *testing.T) {
		config := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS12}
		s := listen(t, Raw, Limits{}, echo)
		s.dressed = func(c net.Conn) net.Conn { // a handshake is over before anybody may send its connection to sleep
			k := tls.Server(c, config)
			if k.Handshake() != nil {
				_ = c.Close()
				return nil
			}
			return k
		}
		s.conns.Go(s.accept)
		f(t, s, func() net.Conn { return tls.Client(s.dial().TCPConn, &tls.Config{InsecureSkipVerify: true}) })
	})
}

// ask sends a request and reads its response, which names its path.
func ask(t *testing.T, c net.Conn, in *bufio.Reader, path string) {
	t.Helper()
	if _, err := io.WriteString(c, strings.Replace(get, "/", path, 1)); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if strings.HasPrefix(line, "GET ") {
			if want := "GET a " + path + "|\n"; line != want {
				t.Fatalf("got %q, want %q", line, want)
			}
			return
		}
	}
}

func TestConnectionsThatRestHaveNoGoroutine(t *testing.T) {
	overEach(t, func(t *testing.T, s *testServer, dial func() net.Conn) {
		const many = 20
		conns, readers := make([]net.Conn, many), make([]*bufio.Reader, many)
		for i := range conns {
			conns[i] = dial()
			readers[i] = bufio.NewReader(conns[i])
		}
		for range 3 { // also those that have been woken rest again
			for i := range conns {
				ask(t, conns[i], readers[i], "/again")
			}
			s.lull(many)
			for deadline := time.Now().Add(patience); serving() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d goroutines serve connections", serving())
				}
			}
		}
		ask(t, conns[0], readers[0], "/one") // wakes nobody else
		if n := s.asleep(); n < many-1 {
			t.Errorf("%d connections are asleep", n)
		}
		for _, c := range conns {
			_ = c.Close()
		}
		for deadline := time.Now().Add(patience); len(s.connections(func(*conn) bool { return true })) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("connections whose clients have left rest on")
			}
		}
	})
}

// TestTheSweeperLetsConnectionsRest: without anybody's help.
func TestTheSweeperLetsConnectionsRest(t *testing.T) {
	overEach(t, func(t *testing.T, s *testServer, dial func() net.Conn) {
		t.Parallel()
		c := dial()
		in := bufio.NewReader(c)
		ask(t, c, in, "/")
		for deadline := time.Now().Add(patience); s.asleep() == 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the connection does not rest")
			}
		}
		ask(t, c, in, "/again")
	})
}

func TestConnectionsThatRestEndWithTheServer(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *testServer){
		"Drain": func(t *testing.T, s *testServer) { s.Drain(within(t), netip.AddrPort{}) },
		"Close": func(_ *testing.T, s *testServer) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			overEach(t, func(t *testing.T, s *testServer, dial func() net.Conn) {
				c := dial()
				in := bufio.NewReader(c)
				ask(t, c, in, "/")
				s.lull(1)
				end(t, s)
				if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
					t.Errorf("the client got %q, %v; it should see an orderly end", rest, err)
				}
			})
		})
	}
}

// TestNoRequestIsLostToRest: connections are sent to sleep all the time while their clients ask. Each request is answered, and the end of each
// connection is told once.
func TestNoRequestIsLostToRest(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		var opened, over, slept atomic.Int64
		s := listen(t, mode, Limits{}, echo)
		s.over = func() { over.Add(1) }
		s.conns.Go(s.accept)
		var clients sync.WaitGroup
		stop := make(chan struct{})
		for range 8 {
			opened.Add(1)
			c := s.dial()
			clients.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					ask(t, c, c.r, "/again")
					if n%16 == 0 { // now and then it rests
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		s.nudgeUntil(func() bool { return slept.Add(int64(s.asleep())) > 1000 })
		close(stop)
		clients.Wait()
		s.Drain(within(t), netip.AddrPort{})
		if over.Load() != opened.Load() {
			t.Errorf("%d connections were opened, and %d are over", opened.Load(), over.Load())
		}
	})
}

// TestHTTP2AfterRest: a connection that has rested before its first byte is handed over like any other.
func TestHTTP2AfterRest(t *testing.T) {
	taken := make(chan string, 1)
	over := make(chan struct{}, 1)
	s := listen(t, Raw, Limits{}, echo)
	s.http2 = func(c net.Conn, _ netip.AddrPort, in []byte) func() {
		return func() { taken <- string(in); _ = c.Close() }
	}
	s.over = func() { over <- struct{}{} }
	s.conns.Go(s.accept)
	k := s.dial()
	for deadline := time.Now().Add(patience); s.asleep() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection does not rest")
		}
		for _, c := range s.connections(func(*conn) bool { return true }) {
			c.nudge(c.state.Load())
		}
	}
	k.send(preface + "\r\n")
	if in := receive(t, taken, "handing over"); in != preface+"\r\n" {
		t.Errorf("handed over with %q", in)
	}
	receive(t, over, "the end")
}
