// Every example is run as a person would run it: its echo backends, the gateway on its files, and the requests of its requests.txt.
// Ports are free ones: those of the listeners by --port-map, those of the backends by replacing them in a copy of backends.yaml.

package examples

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	_ "github.com/wicketgate/wicketgate/cli" // what the binary is made of: go test's cache must see it change
)

var update = flag.Bool("update", false, "rewrite each check.txt with what check says")

// gateway is the binary that TestMain built.
var gateway string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "wicketgate-examples-")
	if err != nil {
		panic(err)
	}
	if _, err := os.ReadFile("../main.go"); err != nil { // also for the cache, which notes what a test reads
		panic(err)
	}
	_ = os.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state")) // so that no example leaves anything in the home directory
	gateway = filepath.Join(dir, "wicketgate")
	build := exec.Command("go", "build", "-o", gateway, "..")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// names lists the examples: the directories that have requests.
func names(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("*/requests.txt")
	if err != nil || len(paths) < 6 {
		t.Fatalf("found %d examples, %v", len(paths), err)
	}
	var list []string
	for _, p := range paths {
		list = append(list, filepath.Dir(p))
	}
	return list
}

func TestExamples(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.Open(filepath.Join(name, "requests.txt"))
			if err != nil {
				t.Fatal(err)
			}
			defer text.Close()
			cases, err := readRequests(text)
			if err != nil {
				t.Fatalf("%s/requests.txt: %v", name, err)
			}
			e := serve(t, name, cases...)
			for _, c := range cases {
				if c.method == open {
					t.Run(c.name, func(t *testing.T) { c.converse(t, e.ports, e.roots) })
					continue
				}
				for protocol, client := range e.clients(t) {
					if protocol == "HTTP/3" && (strings.HasPrefix(c.url, "http:") || !e.https) {
						continue // there is no HTTP/3 without TLS, nor where TLS is passed through
					}
					t.Run(c.name+" "+protocol, func(t *testing.T) { c.run(t, client) })
				}
			}
		})
	}
}

// check says of every example what its check.txt says: nothing, where there is none.
func TestCheckOfExamples(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"check"}
			for _, root := range configs(t, name) {
				args = append(args, filepath.Join(name, root))
			}
			got, err := exec.CommandContext(t.Context(), gateway, args...).Output()
			golden := filepath.Join(name, "check.txt")
			if *update {
				if len(got) == 0 {
					_ = os.Remove(golden)
				} else if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, readErr := os.ReadFile(golden)
			if readErr != nil && err != nil {
				t.Errorf("check: %v", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("check says\n%s\nand not, as check.txt has it,\n%s", got, want)
			}
		})
	}
}

// example is one that is served.
type example struct {
	ports map[string]string // that stand for those of its listeners
	roots *x509.CertPool    // what its certificates are trusted by
	https bool              // it has an HTTPS listener
}

// serve runs an example until the test ends. Free ports stand for those that its cases ask for.
func serve(t *testing.T, name string, cases ...*request) *example {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(name, "*"))
	if err != nil {
		t.Fatal(err)
	}
	e := &example{ports: map[string]string{"80": freePort(t), "443": freePort(t), "8080": freePort(t)}, roots: x509.NewCertPool()}
	for _, c := range cases {
		if at := portOf(t, c.url); e.ports[at] == "" {
			e.ports[at] = freePort(t)
		}
	}
	for _, path := range files {
		e.file(t, path, dir)
	}
	var mapping []string
	for _, from := range slices.Sorted(maps.Keys(e.ports)) {
		mapping = append(mapping, from+"="+e.ports[from])
	}
	admin := "127.0.0.1:" + freePort(t)
	args := []string{"run", "--admin", admin, "--state-dir", t.TempDir(), "--port-map", strings.Join(mapping, ",")}
	for _, root := range configs(t, name) {
		args = append(args, "--config", filepath.Join(dir, root))
	}
	start(t, args...)
	await(t, "http://"+admin+"/readyz")
	if issues(t, files) {
		awaitCertificates(t, admin)
	}
	return e
}

// file does what a file of an example demands, and replaces its copy in dir where it is to say something else.
func (e *example) file(t *testing.T, path, dir string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return // a directory
	}
	e.https = e.https || bytes.Contains(text, []byte("protocol: HTTPS"))
	switch filepath.Base(path) {
	case "backends.yaml":
		if err := os.WriteFile(filepath.Join(dir, "backends.yaml"), startBackends(t, text), 0o600); err != nil {
			t.Fatal(err)
		}
	case "tls.yaml":
		var secret corev1.Secret
		if err := yaml.Unmarshal(text, &secret); err != nil || !e.roots.AppendCertsFromPEM(secret.Data[corev1.TLSCertKey]) {
			t.Fatalf("%s holds no certificate: %v", path, err)
		}
	}
	if filepath.Ext(path) == ".crt" && !e.roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", path)
	}
}

// issues reports whether an example has its certificates issued, by an issuer of its own.
func issues(t *testing.T, files []string) (found bool) {
	t.Helper()
	for _, path := range files {
		text, _ := os.ReadFile(path) // fails for a directory
		found = found || issuerKind.Match(text)
	}
	return found
}

var issuerKind = regexp.MustCompile(`(?m)^kind: (Cluster)?Issuer$`)

// awaitCertificates waits until there are Gateways, and every listener is programmed: before, some show placeholders that no client trusts.
func awaitCertificates(t *testing.T, admin string) {
	t.Helper()
	type condition struct{ Type, Status string }
	var list struct {
		Items []struct {
			Status struct {
				Listeners []struct{ Conditions []condition }
			}
		}
	}
	programmed := func() bool {
		res, err := http.Get("http://" + admin + "/apis/gateway.networking.k8s.io/v1/gateways")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		list.Items = nil
		if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
			return false
		}
		for _, item := range list.Items {
			for _, l := range item.Status.Listeners {
				if !slices.Contains(l.Conditions, condition{"Programmed", "True"}) {
					return false
				}
			}
		}
		return len(list.Items) > 0
	}
	for end := time.Now().Add(time.Minute); !programmed(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not every certificate was issued")
		}
	}
}

// configs lists what an example serves, below its directory: what its flags say, or the directory itself.
func configs(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(name, "flags"))
	if errors.Is(err, fs.ErrNotExist) {
		return []string{""}
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for i, word := range strings.Fields(string(text)) {
		if i%2 == 0 && word != "--config" {
			t.Fatalf("%s/flags: %q is not --config", name, word)
		}
		if i%2 == 1 {
			list = append(list, word)
		}
	}
	return list
}

// clients makes a client for each version of HTTP, for which every host is this machine, at the port that stands for the one asked for.
func (e *example) clients(t *testing.T) map[string]*http.Client {
	t.Helper()
	here := func(addr string) string {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return addr // the dial says what is wrong with it
		}
		return "127.0.0.1:" + e.ports[port]
	}
	transport := func(protocols *http.Protocols) *http.Transport {
		tr := &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, here(addr))
			},
			TLSClientConfig: &tls.Config{RootCAs: e.roots, MinVersion: tls.VersionTLS12},
			Protocols:       protocols,
		}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	three := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: e.roots},
		Dial: func(ctx context.Context, addr string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
			conf = conf.Clone()
			conf.HandshakeIdleTimeout = 30 * time.Second // a busy machine may keep clients waiting
			return quic.DialAddrEarly(ctx, here(addr), tlsConf, conf)
		},
	}
	t.Cleanup(func() { _ = three.Close() })
	one, two := new(http.Protocols), new(http.Protocols)
	one.SetHTTP1(true)
	two.SetHTTP2(true)
	two.SetUnencryptedHTTP2(true)
	clients := map[string]*http.Client{}
	for name, tr := range map[string]http.RoundTripper{"HTTP/1.1": transport(one), "HTTP/2": transport(two), "HTTP/3": three} {
		clients[name] = &http.Client{
			Transport:     tr,
			Timeout:       time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return clients
}

// await asks until the answer is 200.
func await(t *testing.T, url string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(url)
		if err != nil {
			last = err.Error()
			continue
		}
		_ = res.Body.Close()
		if last = res.Status; res.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("%s does not answer with 200: %s", url, last)
}

// run sends the request and compares what comes back.
func (c *request) run(t *testing.T, client *http.Client) {
	counts := map[string]int{}
	for range max(c.times, 1) {
		res, body := c.send(t, client)
		if res.StatusCode != c.status {
			t.Fatalf("%s %s: %s, want %d\n%s", c.method, c.url, res.Status, c.status, body)
		}
		for _, want := range c.answer {
			if got := strings.Join(res.Header.Values(want.name), ", "); got != want.value {
				t.Errorf("%s is %q, want %q", want.name, got, want.value)
			}
		}
		for _, want := range c.members {
			if got := member(t, body, want.name); got != want.value {
				t.Errorf("the backend received %s %q, want %q", want.name, got, want.value)
			}
		}
		counts[res.Header.Get(c.counted)]++
	}
	if c.times > 0 && !maps.Equal(counts, c.counts) {
		t.Errorf("%s: %v, want %v", c.counted, counts, c.counts)
	}
}

func (c *request) send(t *testing.T, client *http.Client) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.fields {
		req.Header.Add(f.name, f.value)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// member finds a member of a JSON object by its path, such as headers.X-Team; several values are joined as in one header field.
func member(t *testing.T, body []byte, path string) string {
	t.Helper()
	var at any
	if err := json.Unmarshal(body, &at); err != nil {
		t.Fatalf("the answer is no echo backend's: %v\n%s", err, body)
	}
	for part := range strings.SplitSeq(path, ".") {
		object, _ := at.(map[string]any)
		at = object[part]
	}
	switch v := at.(type) {
	case nil:
		return ""
	case []any:
		var parts []string
		for _, p := range v {
			parts = append(parts, fmt.Sprint(p))
		}
		return strings.Join(parts, ", ")
	default:
		return fmt.Sprint(v)
	}
}
