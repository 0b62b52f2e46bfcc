// Upgraded connections.

package wire

import (
	"io"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/wicketgate/wicketgate/message"
)

func TestTunnel(t *testing.T) {
	const upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	run(t, func(t *testing.T, mode Transport) {
		t.Run("carries both ways and half-closes", func(t *testing.T) {
			s := serve(t, mode, Limits{KeepAlive: 100 * time.Millisecond, HeadTime: 100 * time.Millisecond}, func(x Exchange) {
				d, err := x.Tunnel(&message.Head{Status: 101})
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(d)
				if err != nil {
					t.Error(err)
				}
				time.Sleep(3 * tick) // no limit for requests applies any more
				_, _ = io.WriteString(d, strings.ToUpper(string(b)))
				_ = d.CloseWrite()
			})
			k := s.ask(upgrade + "early ")
			k.expect("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			k.send("late")
			_ = k.CloseWrite()
			if got := k.all(); got != "EARLY LATE" {
				t.Errorf("got %q", got)
			}
		})
		t.Run("copies without holding descriptors or losing bytes", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) {
				d, err := x.Tunnel(&message.Head{Status: 101})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(d, d); err != nil {
					t.Error(err)
				}
				_ = d.CloseWrite()
			})
			k := s.dial()
			before := pipes(t)
			k.send(upgrade + "early")
			k.expect("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
			k.send("ping")
			k.expect("ping")
			if n := pipes(t); n > before {
				t.Errorf("an idle tunnel holds %d descriptors of pipes", n-before)
			}
			long := strings.Repeat("0123456789abcdef", 20<<10)
			go func() {
				k.send(long)
				_ = k.CloseWrite()
			}()
			if got := k.all(); got != long {
				t.Errorf("%d bytes came back of %d", len(got), len(long))
			}
		})
		t.Run("gives its connection and what is in hand", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) {
				d, _ := x.Tunnel(&message.Head{Status: 101})
				v := d.(Spliceable)
				_, _ = v.NetConn().Write(v.Buffered())
				if len(v.Buffered()) > 0 {
					t.Error("bytes are given twice")
				}
			})
			k := s.dial()
			k.send(upgrade + "early")
			k.expect("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
		})
		t.Run("gives up the memory of its request, but for the head", func(t *testing.T) {
			done := make(chan struct{})
			s := serve(t, mode, Limits{}, func(x Exchange) {
				defer close(done)
				h := x.Request()
				h.Fields.Set([]byte("X-Set"), []byte("by a filter"))
				before := describe(h)
				given := x.(*exchange)
				lent := given.buf
				if _, err := x.Tunnel(&message.Head{Status: 101}); err != nil {
					t.Error(err)
				}
				if given.buf != nil || given.out != nil {
					t.Error("the memory is held as long as the tunnel lasts")
				}
				for _, p := range pointedTo(h) {
					at := uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(unsafe.Pointer(unsafe.SliceData(lent)))
					if at < headBuffer {
						t.Errorf("%q is in memory that others use now", p)
					}
				}
				runtime.KeepAlive(lent)
				if after := describe(h); after != before {
					t.Errorf("before %q, after %q", before, after)
				}
			})
			k := s.dial()
			k.send("GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Empty:\r\nUser-Agent: me\r\n\r\n")
			k.expect("HTTP/1.1 101 Switching Protocols\r\n")
			<-done
		})
		t.Run("is refused to requests that did not ask", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) {
				if _, err := x.Tunnel(&message.Head{Status: 101}); err == nil {
					t.Error("tunnel without an upgrade")
				}
				respond(x, 400, "no\n")
			})
			k := s.dial()
			k.send(get)
			k.expect("HTTP/1.1 400 Bad Request\r\n")
		})
		t.Run("an upgrade may be declined", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) { respond(x, 200, "no\n") })
			k := s.dial()
			k.send(upgrade + get)
			k.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno\nHTTP/1.1 200 OK\r\n")
		})
	})
}

// pipes counts the descriptors of this process that are pipes, where that can be seen.
func pipes(t *testing.T) (n int) {
	t.Helper()
	open, _ := os.ReadDir("/proc/self/fd") // nothing there: another system
	for _, e := range open {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

// pointedTo is all memory that a head points to.
func pointedTo(h *message.Head) (list [][]byte) {
	for _, v := range reflect.ValueOf(h).Elem().Fields() {
		if p, ok := reflect.TypeAssert[[]byte](v); ok {
			list = append(list, p)
		}
	}
	for i := range h.Fields.Len() {
		f := h.Fields.At(i)
		list = append(list, f.Name, f.Value)
	}
	return list
}
