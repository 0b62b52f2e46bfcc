// External authorization over gRPC, through the program, with a service whose answers are scripted byte by byte.

package cli

import (
	endian "encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// pb is a field of a protocol buffer, number below 16, with bytes.
func pb(number byte, content ...string) string {
	all := strings.Join(content, "")
	return string(endian.AppendUvarint([]byte{number<<3 | 2}, uint64(len(all)))) + all
}

// pbHeader is a HeaderValueOption in field number.
func pbHeader(number byte, name, value string) string {
	return pb(number, pb(1, pb(1, name), pb(2, value)))
}

const (
	pbOK     = "\x0a\x00"
	pbDenied = "\x0a\x02\x08\x07"
)

// checkService answers by what is in the question, and keeps the last one.
func checkService(t *testing.T, seen *atomic.Pointer[asked]) int {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen.Store(&asked{r.Method, r.Proto + r.RequestURI, r.Host, string(body), r.ContentLength, r.Header})
		is := func(path string) bool { return strings.Contains(string(body), "/"+path) }
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		status, answer := "0", pbOK+pb(3, pbHeader(2, "X-User", "alice"), pbHeader(2, "Host", "evil.test"), pb(5, "Authorization"), pbHeader(6, "X-Granted", "yes"), pbHeader(6, "Content-Length", "7"))
		switch {
		case is("denied"):
			// 401
			answer = pbDenied + pb(2, pb(1, "\x08\x91\x03"), pbHeader(2, "WWW-Authenticate", "Basic realm=x"), pbHeader(2, "Set-Cookie", "a=1"), pbHeader(2, "Set-Cookie", "b=2"),
				pbHeader(2, "Transfer-Encoding", "chunked"), pb(3, "who are you?"))
		case is("plain"):
			answer = pbDenied
		case is("unmodified"):
			answer = pbDenied + pb(2, pb(1, "\x08\xb0\x02"), pb(3, "content that a 304 has not"))
		case is("failed"):
			status = "13"
		case is("statusless"):
			status = ""
		case is("empty"):
			answer = ""
		case is("garbage"):
			answer += "\xff"
		case is("long"):
			answer += pb(9, strings.Repeat("x", 1<<20))
		case is("wrongtype"):
			w.Header().Set("Content-Type", "text/plain")
		case is("http500"):
			w.WriteHeader(http.StatusInternalServerError)
		case is("breaks"):
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, "\x00\x00")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case is("hangs"):
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, string(endian.BigEndian.AppendUint32([]byte{0}, uint32(len(answer))))+answer)
		if status != "" {
			w.Header().Set("Grpc-Status", status)
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

func TestExternalAuthGRPC(t *testing.T) {
	port := freePort(t)
	var seen atomic.Pointer[asked]
	var served atomic.Int32
	var tail atomic.Pointer[http.Header]
	backend := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		defer func() { tail.Store(&r.Trailer) }()
		served.Add(1)
		w.Header().Set("X-Granted", "by the backend")
		seeing(w, r)
	})
	rule := func(name, service, auth, more string) string {
		return ruleYAML(name, "    filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: "+service+", port: 80}, "+auth+"}}]\n    backendRefs: [{name: app, port: 80}]\n"+more)
	}
	startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port),
		"app.yaml":     sliceYAML("app", backend),
		"auth.yaml":    sliceYAML("auth", checkService(t, &seen)),
		"one.yaml":     sliceYAML("one", newBackend(t, func(http.ResponseWriter, *http.Request) {})), // HTTP/1.1 and 200, which is no word of it
		"down.yaml":    sliceYAML("down", freePort(t)),
		"a.yaml":       rule("a", "auth", "grpc: {}", ""),
		"few.yaml":     rule("few", "auth", "grpc: {allowedHeaders: [X-Shown]}", ""),
		"body.yaml":    rule("body", "auth", "grpc: {}, forwardBody: {maxSize: 10}", ""),
		"slow.yaml":    rule("slow", "auth", "grpc: {}", "    timeouts: {request: 300ms}\n"),
		"old.yaml":     rule("old", "one", "grpc: {}", ""),
		"refuses.yaml": rule("refuses", "down", "grpc: {}", ""),
		"absent.yaml":  rule("absent", "nobody", "grpc: {}", ""),
		"share.yaml":   ruleYAML("share", "    backendRefs: [{name: app, port: 80, filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: auth, port: 80}, grpc: {}}}]}]\n"),
	}, "--backend-dns=false")

	send := func(method, path, body string, header ...string) (*http.Response, string) {
		t.Helper()
		return askShop(t, port, method, path, body, header...)
	}

	res, text := send("POST", "/a/x?q=1", "content", "Authorization", "Bearer t", "X-List", "1", "X-List", "2", "X-User", "mallory")
	question, got := seen.Load(), arrived(t, text)
	if question.Method != http.MethodPost || question.URI != "HTTP/2.0/envoy.service.auth.v3.Authorization/Check" || question.Host != "auth.default" ||
		question.Length != int64(len(question.Body)) || question.Header.Get("Te") != "trailers" || !strings.HasSuffix(question.Header.Get("Grpc-Timeout"), "m") {
		t.Errorf("the service was asked %+v", question)
	}
	for _, part := range []string{
		pb(2, "POST"), pb(4, "/a/x?q=1") + pb(5, "shop.test") + pb(6, "http") + "\x48\x07" + pb(10, "HTTP/1.1"), pb(2, "127.0.0.1"),
		pb(3, pb(1, "authorization"), pb(2, "Bearer t")), pb(3, pb(1, "x-list"), pb(2, "1, 2")), pb(3, pb(1, "x-forwarded-for"), pb(2, "127.0.0.1")),
		pb(3, pb(1, "content-length"), pb(2, "7")), pb(3, pb(1, ":path"), pb(2, "/a/x?q=1")),
	} {
		if !strings.Contains(question.Body, part) {
			t.Errorf("the question has no %q: %q", part, question.Body)
		}
	}
	if strings.Contains(question.Body, pb(11, "content")) {
		t.Error("the service was shown the body")
	}
	if h := got.Header; len(h["X-User"]) != 1 || h.Get("X-User") != "alice" || h.Get("Authorization") != "" || got.Host != "shop.test" || got.Body != "content" {
		t.Errorf("the backend got %+v", got)
	}
	if granted := res.Header["X-Granted"]; len(granted) != 2 || granted[1] != "yes" || res.ContentLength != int64(len(text)) {
		t.Errorf("the client got %v", res.Header)
	}
	send("GET", "/few", "", "X-Shown", "1", "X-Hidden", "2", "Authorization", "Bearer t")
	if b := seen.Load().Body; !strings.Contains(b, pb(3, pb(1, "x-shown"), pb(2, "1"))) || strings.Contains(b, "x-hidden") || strings.Contains(b, "authorization") || strings.Contains(b, ":path") {
		t.Errorf("with a list of headers the service was shown %q", b)
	}
	if _, text = send("POST", "/body", "ten bytes!"); arrived(t, text).Body != "ten bytes!" || !strings.HasSuffix(seen.Load().Body, pb(11, "ten bytes!")) {
		t.Errorf("the service saw %q, the backend got %s", seen.Load().Body, text)
	}
	if res, _ = send("GET", "/share", ""); res.StatusCode != http.StatusOK || len(res.Header["X-Granted"]) != 2 {
		t.Errorf("a backendRef's: %d %v", res.StatusCode, res.Header)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at(port, "/a"), io.MultiReader(strings.NewReader("chunked")))
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"X-User": {"mallory"}, "Authorization": {"x"}, "X-Tail": {"t"}}
	if res, err = client.Do(req); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if got := *tail.Load(); got.Get("X-Tail") != "t" || got.Get("X-User") != "" || got.Get("Authorization") != "" {
		t.Errorf("trailers %v pass", got)
	}

	before := served.Load()
	for _, c := range []struct {
		path, body string
		code       int
		want       string // of the body
	}{
		{"/a/denied", "", 401, "who are you?"},
		{"/share/denied", "", 401, "who are you?"},
		{"/a/plain", "", 403, ""},
		{"/a/unmodified", "", 304, ""},
		{"/a/failed", "", 503, ""},
		{"/a/statusless", "", 503, ""},
		{"/a/empty", "", 503, ""},
		{"/a/garbage", "", 503, ""},
		{"/a/long", "", 503, ""},
		{"/a/wrongtype", "", 503, ""},
		{"/a/http500", "", 503, ""},
		{"/a/breaks", "", 503, ""},
		{"/slow/hangs", "", 503, ""},
		{"/body", "eleven byte", 413, ""},
		{"/old", "", 503, ""},
		{"/refuses", "", 503, ""},
		{"/absent", "", 500, ""},
	} {
		res, text := send("POST", c.path, c.body)
		if res.StatusCode != c.code || c.want != "" && text != c.want || res.Header.Get("X-Granted") != "" {
			t.Errorf("%s: %d %s %v", c.path, res.StatusCode, text, res.Header)
		}
		if c.code == http.StatusUnauthorized && (res.Header.Get("Www-Authenticate") == "" || len(res.Header["Set-Cookie"]) != 2 || len(res.TransferEncoding) > 0) {
			t.Errorf("%s: %v", c.path, res.Header)
		}
	}
	if n := served.Load(); n != before {
		t.Errorf("%d requests passed", n-before)
	}
}
