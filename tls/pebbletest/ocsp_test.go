// Staples: the authority's certificates name an OCSP responder, as those of some authorities do.

package pebbletest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// answerOCSP says that a certificate is good.
func (a *authority) answerOCSP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	question, err := ocsp.ParseRequest(text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	issuer := a.ca.GetIntermediateCert(0).Cert
	answer, err := ocsp.CreateResponse(issuer, issuer, ocsp.Response{
		Status: ocsp.Good, SerialNumber: question.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
	}, a.ca.GetIntermediateKey(0))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(answer)
}

func TestStapleIsShownInHandshakes(t *testing.T) {
	a := newAuthority(t, settings{staples: true})
	g := start(t, a, directory(t, "gateway.yaml", secureOnly), t.TempDir(), flags(a)...)
	leaf := g.untilIssued(a, "shop.example.com")
	g.until("handshakes show a staple", func() bool {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", fmt.Sprintf("127.0.0.1:%d", g.https), &tls.Config{ServerName: "shop.example.com", InsecureSkipVerify: true}) //nolint:gosec // the leaf is compared
		if err != nil {
			return false
		}
		defer c.Close()
		answer, err := ocsp.ParseResponseForCert(c.OCSPResponse(), leaf, a.ca.GetIntermediateCert(0).Cert)
		return err == nil && answer.Status == ocsp.Good
	})
}
