// Staples: what an OCSP responder says of a certificate, in fake time. The responder is reached through pipes.

package obtain

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/wicketgate/wicketgate/gateway"
)

// responder answers for the certificates of an authority.
type responder struct {
	t     *testing.T
	w     *world
	asked atomic.Int64
	// status is what it says of a certificate; odd is set for answers that are none.
	status atomic.Int64
	odd    atomic.Value // string
}

// stapleLife is how long its answers hold.
const stapleLife = 4 * time.Hour

func (r *responder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.asked.Add(1)
	text, err := io.ReadAll(q.Body)
	if err != nil {
		r.t.Error(err)
	}
	question, err := ocsp.ParseRequest(text)
	if err != nil || q.Header.Get("Content-Type") != "application/ocsp-request" {
		r.t.Errorf("the question is none: %v, %s", err, q.Header.Get("Content-Type"))
		return
	}
	s := r.w.secret("root-key")
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		r.t.Error(err)
		return
	}
	a := ocsp.Response{Status: int(r.status.Load()), SerialNumber: question.SerialNumber, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(stapleLife)}
	switch r.odd.Load() {
	case "another certificate":
		a.SerialNumber.Add(a.SerialNumber, a.SerialNumber)
	case "an old answer":
		a.ThisUpdate, a.NextUpdate = a.ThisUpdate.Add(-2*stapleLife), a.ThisUpdate.Add(-stapleLife)
	case "an error":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "garbage":
		_, _ = io.WriteString(w, "hello")
		return
	case "too much":
		_, _ = io.WriteString(w, strings.Repeat("x", 2*maxStaple))
		return
	}
	if a.Status == ocsp.Revoked {
		a.RevokedAt = time.Now().Add(-time.Minute)
	}
	signer, _ := newAuthority(s.Data["tls.crt"], s.Data["tls.key"])
	answer, err := ocsp.CreateResponse(pair.Leaf, pair.Leaf, a, signer.key)
	if err != nil {
		r.t.Error(err)
	}
	_, _ = w.Write(answer)
}

// stapled is an engine whose ca issuer names a responder.
func stapled(t *testing.T) (*world, *responder) {
	t.Helper()
	w := &world{t: t}
	r := &responder{t: t, w: w}
	r.status.Store(ocsp.Good)
	var err error
	w.engine, err = New(Options{Dial: func(_ context.Context, to netip.AddrPort, loopback bool) (net.Conn, error) {
		if to.String() != "192.0.2.53:80" || loopback {
			t.Errorf("asked %s, loopback %t", to, loopback)
		}
		near, far := net.Pipe()
		go func() { _ = (&http.Server{Handler: r, ReadHeaderTimeout: time.Minute}).Serve(&oneConn{conn: far}) }()
		return near, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.want(strings.NewReplacer("duration: 24h", "duration: 2400h", "{secretName: root-key}", "{secretName: root-key, ocspServers: [http://192.0.2.53/]}").Replace(chainYAML))
	return w, r
}

// staple is that which handshakes show.
func (w *world) staple() []byte { return w.secret("shop-tls").Data[gateway.StapleKey] }

func TestStapleIsFetchedAndRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := stapled(t)
		defer w.run()()
		synctest.Wait()
		first := w.staple()
		answer, err := ocsp.ParseResponse(first, nil)
		if err != nil || answer.Status != ocsp.Good || answer.SerialNumber.Cmp(w.leaf("shop-tls").SerialNumber) != 0 {
			t.Fatalf("staple %v: %v", answer, err)
		}
		time.Sleep(stapleLife/2 + time.Minute)
		synctest.Wait()
		second := w.staple()
		if string(second) == string(first) || r.asked.Load() != 2 {
			t.Errorf("not refreshed at half of its life: asked %d times", r.asked.Load())
		}
		// A responder that fails is asked every hour, and its last answer is shown for as long as it holds.
		r.odd.Store("an error")
		time.Sleep(stapleLife - time.Hour)
		synctest.Wait()
		if string(w.staple()) != string(second) {
			t.Error("a staple that holds is gone")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.staple()) > 0 {
			t.Error("a staple is shown that has ended")
		}
		r.odd.Store("")
		time.Sleep(stapleRetry + time.Minute)
		synctest.Wait()
		if len(w.staple()) == 0 {
			t.Error("no staple once the responder is back")
		}
	})
}

func TestStapleOfRevokedCertificateRenewsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := stapled(t)
		defer w.run()()
		synctest.Wait()
		time.Sleep(revokedPause)
		first := w.leaf("shop-tls").SerialNumber
		r.status.Store(ocsp.Revoked)
		time.Sleep(stapleLife/2 + time.Second)
		synctest.Wait()
		second := w.leaf("shop-tls").SerialNumber
		if second.Cmp(first) == 0 {
			t.Error("a revoked certificate stays in service")
		}
		if len(w.staple()) > 0 {
			t.Error("a staple says that the certificate is revoked, or is of the one before")
		}
		time.Sleep(revokedPause / 2)
		synctest.Wait()
		if w.leaf("shop-tls").SerialNumber.Cmp(second) != 0 {
			t.Error("a responder that says so of every certificate has one after the other obtained")
		}
		r.status.Store(ocsp.Good)
		time.Sleep(revokedPause)
		synctest.Wait()
		if len(w.staple()) == 0 {
			t.Error("no staple for the new certificate")
		}
	})
}

func TestOddStaplesAreNotShown(t *testing.T) {
	for _, odd := range []string{"another certificate", "an old answer", "an error", "garbage", "too much"} {
		t.Run(odd, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := stapled(t)
				r.odd.Store(odd)
				defer w.run()()
				synctest.Wait()
				if r.asked.Load() != 1 || len(w.staple()) > 0 {
					t.Errorf("asked %d times, staple of %d bytes", r.asked.Load(), len(w.staple()))
				}
				if status, message := w.ready("Certificate", "shop"); status != "True" {
					t.Errorf("the certificate does without: %s %s", status, message)
				}
			})
		})
	}
}
