// The portable transport under TLS.

package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// selfSigned makes a certificate for tests that do not look at it.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestOverTLS: the portable transport under TLS, with everything that reads ahead.
func TestOverTLS(t *testing.T) {
	certificate := selfSigned(t)
	s := listen(t, Raw, Limits{}, func(x Exchange) {
		if string(x.Request().Target) == "/wait" {
			<-x.Context().Done()
			x.Abort(message.ClientGone)
			return
		}
		if string(x.Request().Scheme) != "https" {
			t.Errorf("scheme is %s", x.Request().Scheme)
		}
		echo(x)
	})
	s.conns.Go(func() {
		for {
			c, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.conns.Go(func() {
				k := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
				if k.Handshake() != nil {
					_ = c.Close()
					return
				}
				s.ServeConn(k, s.socket(), &TLS{})
			})
		}
	})
	k, err := tls.Dial("tcp", s.ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	_, _ = io.WriteString(k, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n")
	b, err := io.ReadAll(k)
	if want := "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nPOST a /|abc\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET  /|\n"; err != nil || undated(string(b)) != want {
		t.Errorf("got %q, %v", b, err)
	}
	w, err := tls.Dial("tcp", s.ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, strings.Replace(get, "/", "/wait", 1))
	s.awaitArmed()
	_ = w.Close()
	for len(s.connections(func(*conn) bool { return true })) > 0 {
		time.Sleep(time.Millisecond)
	}
}
