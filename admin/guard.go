// Who may ask: protection of an interface that usually listens on loopback without a password.
//
// A page in somebody's browser can send requests to 127.0.0.1. It cannot read the answers, unless its own name is made to resolve to
// 127.0.0.1 (DNS rebinding): hence the list of names in Host. It can still POST without reading: hence no POST with an Origin. Where
// other machines can connect a token or a client certificate is asked for.

package admin

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

type guard struct {
	next      http.Handler
	hosts     []string
	tokenFile string
	// certificates: a client needs a certificate that was verified.
	certificates bool
	log          *slog.Logger
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" { // for load balancers and orchestrators, which cannot be taught a token
		g.next.ServeHTTP(w, r)
		return
	}
	if !g.allowedHost(r.Host) {
		writeStatus(w, forbidden(fmt.Sprintf("the admin interface is not known as %q: ask for it by an IP address or as localhost, "+
			"or start with --admin-host %s", r.Host, hostname(r.Host))))
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get("Origin") != "" {
		writeStatus(w, forbidden("requests from web pages (with an Origin field) may not change anything"))
		return
	}
	if g.certificates && !hasCertificate(r) {
		writeStatus(w, forbidden("the admin interface asks for a client certificate: give --admin-cert and --admin-key"))
		return
	}
	if g.tokenFile != "" && !g.authorised(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="wicketgate"`)
		writeStatus(w, unauthorized())
		return
	}
	g.next.ServeHTTP(w, r)
}

// allowedHost says whether a Host field names this interface: any IP address does, since rebinding needs a name.
func (g *guard) allowedHost(host string) bool {
	name := hostname(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(g.hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// hostname takes the port off, and the brackets of an IPv6 address.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// authorised reads the token anew each time, so that it can be changed without a restart.
func (g *guard) authorised(r *http.Request) bool {
	want, err := readToken(g.tokenFile)
	if err != nil {
		g.log.Error("nobody can be let in to the admin interface", "error", err)
		return false
	}
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare([]byte(strings.TrimSpace(got)), []byte(want)) == 1
}

func readToken(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the admin token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("admin token file %s: %w", file, errEmptyToken)
	}
	return token, nil
}

var errEmptyToken = errors.New("it is empty, which would let everybody in: write a token into it")
