// External authorization over HTTP, through the program, with services that answer, lie, hang and break.

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// asked is what an authorization service or a backend saw of a request.
type asked struct {
	Method, URI, Host, Body string
	Length                  int64
	Header                  http.Header
}

// seeing answers with what it got.
func seeing(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what broke off is not as expected
	_ = json.NewEncoder(w).Encode(asked{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.Header})
}

// authorityOf judges by the path that was asked for.
func authorityOf(seen *atomic.Pointer[asked]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen.Store(&asked{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.Header})
		w.Header().Set("Content-Type", "text/auth")
		w.Header().Add("X-User", "alice")
		w.Header().Add("X-User", "bob")
		w.Header().Set("X-Secret", "not for the backend")
		switch {
		case strings.Contains(r.URL.Path, "denied"):
			w.Header().Set("Www-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "who are you?")
		case strings.Contains(r.URL.Path, "login"):
			http.Redirect(w, r, "https://login.example.org/", http.StatusFound)
		case strings.Contains(r.URL.Path, "odd"):
			w.WriteHeader(http.StatusNoContent)
		case strings.Contains(r.URL.Path, "anonymous"):
			w.Header().Del("X-User")
		case strings.Contains(r.URL.Path, "early"):
			w.WriteHeader(http.StatusEarlyHints)
		case strings.Contains(r.URL.Path, "breaks"):
			panic(http.ErrAbortHandler)
		}
	}
}

// askShop sends a request for shop.test, whose further arguments are names and values of fields, and follows no redirect.
func askShop(t *testing.T, port int, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, at(port, path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.test"
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	noRedirect := &http.Client{Transport: client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := noRedirect.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// arrived reads what a backend that tells what it sees has answered.
func arrived(t *testing.T, text string) (a asked) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return a
}

func TestExternalAuth(t *testing.T) {
	port := freePort(t)
	var seen atomic.Pointer[asked]
	var served atomic.Int32
	backend := newBackend(t, func(w http.ResponseWriter, r *http.Request) { served.Add(1); seeing(w, r) })
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	rule := func(name, service, auth, more string) string {
		return ruleYAML(name, "    filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: "+service+", port: 80}, "+auth+"}}]\n    backendRefs: [{name: app, port: 80}]\n"+more)
	}
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port),
		"app.yaml":     sliceYAML("app", backend),
		"auth.yaml":    sliceYAML("auth", newBackend(t, authorityOf(&seen))),
		"silent.yaml":  sliceYAML("silent", silent.Addr().(*net.TCPAddr).Port),
		"down.yaml":    sliceYAML("down", freePort(t)),
		"a.yaml":       rule("a", "auth", "http: {path: /check, allowedHeaders: [X-Shown], allowedResponseHeaders: [X-User]}", ""),
		"all.yaml":     rule("all", "auth", "http: {}", ""),
		"body.yaml":    rule("body", "auth", "http: {}, forwardBody: {maxSize: 10}", ""),
		"hangs.yaml":   rule("hangs", "silent", "http: {}", "    timeouts: {request: 300ms}\n"),
		"refuses.yaml": rule("refuses", "down", "http: {}", ""),
		"absent.yaml":  rule("absent", "nobody", "http: {}", ""),
		"share.yaml":   ruleYAML("share", "    backendRefs: [{name: app, port: 80, filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: auth, port: 80}, http: {}}}]}]\n"),
	}, "--backend-dns=false")

	send := func(method, path, body string, header ...string) (*http.Response, string) {
		t.Helper()
		return askShop(t, port, method, path, body, header...)
	}

	res, text := send("POST", "/a/x?q=1", "content", "Authorization", "Bearer t", "X-Shown", "1", "X-Hidden", "2", "X-User", "mallory", "Content-Type", "text/app")
	question, got := seen.Load(), arrived(t, text)
	if res.StatusCode != http.StatusOK || question.Method != http.MethodPost || question.URI != "/check/a/x?q=1" || question.Host != "shop.test" || question.Body != "" || question.Length != 0 {
		t.Errorf("the service was asked %+v", question)
	}
	if h := question.Header; h.Get("Authorization") != "Bearer t" || h.Get("X-Shown") != "1" || h.Get("X-Hidden") != "" || h.Get("X-Forwarded-For") != "" {
		t.Errorf("the service was shown %v", h)
	}
	if users := fmt.Sprint(got.Header["X-User"]); users != "[alice bob]" || got.Body != "content" || got.Header.Get("X-Secret") != "" || got.Header.Get("Content-Type") != "text/app" || got.Header.Get("X-Hidden") != "2" {
		t.Errorf("the backend got %+v", got)
	}
	_, text = send("GET", "/a/anonymous", "", "X-User", "mallory")
	if got := arrived(t, text); got.Header.Get("X-User") != "" {
		t.Errorf("a client names itself: %v", got.Header)
	}
	_, text = send("GET", "/all", "", "Content-Type", "text/app")
	if got := arrived(t, text); got.Header.Get("X-Secret") == "" || got.Header.Get("Content-Type") != "text/app" || got.Host != "shop.test" {
		t.Errorf("without a list the backend got %v", got.Header)
	}
	for _, length := range []int{0, 1, 10} {
		body := strings.Repeat("x", length)
		if _, text = send("POST", "/body", body); arrived(t, text).Body != body || seen.Load().Body != body || seen.Load().Length != int64(length) {
			t.Errorf("%d bytes: the service saw %+v, the backend got %s", length, seen.Load(), text)
		}
	}

	before := served.Load()
	for _, c := range []struct {
		path   string
		body   string
		code   int
		want   string // of the body
		header string
	}{
		{"/a/denied", "", 401, "who are you?", "Www-Authenticate"},
		{"/a/login", "", 302, "", "Location"},
		{"/a/odd", "", 403, "", ""},
		{"/a/breaks", "", 503, "", ""},
		{"/body", "eleven byte", 413, "", ""},
		{"/hangs", "", 503, "", ""},
		{"/refuses", "", 503, "", ""},
		{"/absent", "", 500, "", ""},
		{"/share/denied", "", 401, "who are you?", ""},
	} {
		res, text := send("POST", c.path, c.body)
		if res.StatusCode != c.code || c.want != "" && text != c.want || c.header != "" && res.Header.Get(c.header) == "" {
			t.Errorf("%s: %d %s %v", c.path, res.StatusCode, text, res.Header)
		}
	}
	if n := served.Load(); n != before {
		t.Errorf("%d requests passed", n-before)
	}
	for _, path := range []string{"/a/early", "/share"} {
		if res, text := send("GET", path, ""); res.StatusCode != http.StatusOK || arrived(t, text).Header.Get("X-User") == "" {
			t.Errorf("%s: %d %s", path, res.StatusCode, text)
		}
	}
	out, _, _ := g.get("httproute", "absent", "-o", "yaml")
	if !strings.Contains(out, "BackendNotFound") {
		t.Errorf("the route's status\n%s", out)
	}
}
