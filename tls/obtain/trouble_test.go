// What is wrong around the engine: names that lead elsewhere, a disk that is full.

package obtain

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

func TestNamesThatLeadElsewhereAreTold(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		records := map[string]string{"here.example.": "127.0.0.1", "there.example.": "192.0.2.1"}
		switch ip := records[q.Question[0].Name]; {
		case ip == "":
			a.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			if rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A " + ip); err == nil {
				a.Answer = append(a.Answer, rr)
			}
		}
		_ = w.WriteMsg(a)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { _ = server.Shutdown() })
	e, err := New(Options{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", l.LocalAddr().String())
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"here.example": "", "there.example": "resolves to 192.0.2.1, which is no address of this machine", "nowhere.example": "does not resolve",
	} {
		if got := e.elsewhere(t.Context(), name); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// fullDisk is a Storage on a disk that has no room while full is set.
type fullDisk struct {
	*memory

	full  atomic.Bool
	locks bool // a lock needs room, too, as one that is a file does
}

func (d *fullDisk) Store(ctx context.Context, key string, value []byte) error {
	if d.full.Load() {
		return syscall.ENOSPC
	}
	return d.memory.Store(ctx, key, value)
}

func (d *fullDisk) Lock(ctx context.Context, name string) error {
	if d.locks && d.full.Load() {
		return syscall.ENOSPC
	}
	return d.memory.Lock(ctx, name)
}

func TestFullDisk(t *testing.T) {
	for name, locks := range map[string]bool{"what is obtained is served though it cannot be kept": false, "nothing is obtained that cannot be locked": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				disk := &fullDisk{memory: newMemory(), locks: locks}
				disk.full.Store(true)
				w := &world{t: t}
				var err error
				w.engine, err = New(Options{Storage: disk, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				w.want(chainYAML)
				stop := w.run()
				synctest.Wait()
				status, message := w.ready("Certificate", "shop")
				if locks && (status != "False" || !strings.Contains(message, syscall.ENOSPC.Error())) || !locks && status != "True" {
					t.Errorf("on a full disk: %s %s", status, message)
				}
				disk.full.Store(false)
				time.Sleep(2 * homePause)
				synctest.Wait()
				if status, message := w.ready("Certificate", "shop"); status != "True" {
					t.Errorf("once there is room: %s %s", status, message)
				}
				stop()
				if !locks && !strings.Contains(log.String(), "a certificate could not be kept") {
					t.Errorf("the log does not tell:\n%s", log.String())
				}
			})
		})
	}
}
