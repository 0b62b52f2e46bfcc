// Which package may import which: the arrows of ARCHITECTURE.md as a test. Imports point one way, so that every stage between files
// and traffic can be read, tested and replaced without the stages after it.

package policy

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// module is the prefix of our own import paths.
const module = "github.com/wicketgate/wicketgate"

// allowed lists, for each package, which of our own packages its code may import. "*" is any. Tests may import more.
var allowed = map[string]string{
	"object":           "",
	"message":          "",
	"dial":             "",
	"router":           "",
	"accesslog":        "",
	"listeners":        "",
	"state":            "",
	"certmanager":      "",
	"envoygateway":     "",
	"config":           "object certmanager envoygateway",
	"config/secretdir": "config object internal/keypair",
	"gateway":          "object envoygateway internal/keypair",
	"wire":             "message wire/proxyproto",
	"wire/h2":          "message wire",
	"wire/h3":          "message wire wire/h2",
	"tls":              "object dial gateway",
	"wire/proxyproto":  "",
	"tls/sni":          "",
	"tls/issue":        "object gateway certmanager",
	"tls/dns01":        "",
	"tls/demand":       "",
	"tls/obtain":       "object gateway certmanager dial tls/issue tls/dns01 tls/demand",
	"proxy/backend":    "message wire wire/h2 dial",
	"proxy/stream":     "dial proxy/backend proxy/ledger accesslog",
	"proxy/datagram":   "proxy/backend proxy/ledger accesslog",
	"proxy/ledger":     "",
	"proxy/extauth":    "message",
	"proxy":            "object gateway router message wire dial tls proxy/backend proxy/stream proxy/datagram proxy/ledger proxy/extauth accesslog",
	"reconcile":        "*",
	"admin":            "*",
	"cli":              "*",
	".":                "*",
	"bench":            "internal/ports",
	"bench/backend":    "bench/poll",
	"bench/load":       "bench/poll",
	"bench/poll":       "",
}

// dataPath are the packages that carry requests.
var dataPath = []string{"message", "wire", "wire/h2", "wire/h3", "router", "proxy", "proxy/backend", "proxy/stream", "proxy/datagram", "proxy/ledger", "proxy/extauth", "listeners"}

func TestImportsPointOneWay(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		rule, known := allowed[f.dir]
		if !known {
			if !slices.Contains(strings.Split(f.dir, "/"), "internal") {
				t.Errorf("%s: package %q has no entry in the import policy", f.path, f.dir)
			}
			continue
		}
		for _, path := range f.imports() {
			ours, found := strings.CutPrefix(path, module+"/")
			if found && rule != "*" && !slices.Contains(strings.Fields(rule), ours) {
				t.Errorf("%s: %s must not import %s", f.path, f.dir, ours)
			}
		}
	}
}

// TestArchitectureNamesTheImports compares the table of ARCHITECTURE.md with the one above.
func TestArchitectureNamesTheImports(t *testing.T) {
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\| .* \\| ([^|]*) \\|$").FindAllStringSubmatch(read(t, "../../ARCHITECTURE.md"), -1) {
		rows[m[1]] = m[2]
	}
	for dir, rule := range allowed {
		if dir == "." || dir == "bench" || strings.HasPrefix(dir, "bench/") {
			continue
		}
		words := strings.FieldsFunc(rows[dir], func(r rune) bool { return r == ',' || r == ' ' || r == '-' })
		want := strings.Fields(rule)
		if rule == "*" {
			want = []string{"any"}
		}
		slices.Sort(words)
		slices.Sort(want)
		if _, there := rows[dir]; !there || !slices.Equal(words, want) {
			t.Errorf("ARCHITECTURE.md says that %s imports %q, and it may import %q", dir, words, want)
		}
	}
}

func TestDataPathDoesWithoutNetHTTP(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || !slices.Contains(dataPath, f.dir) {
			continue
		}
		for _, path := range f.imports() {
			if path == "net/http" || strings.HasPrefix(path, "net/http/") {
				t.Errorf("%s: the data path must not import %s", f.path, path)
			}
		}
	}
}

// Only few files may know both our tls package and crypto/tls: a file that needs both says which is which by an import name.
func TestTLSPackagesAreToldApart(t *testing.T) {
	for _, f := range sources(t) {
		paths := f.imports()
		if !slices.Contains(paths, module+"/tls") || !slices.Contains(paths, "crypto/tls") {
			continue
		}
		for _, spec := range f.tree.Imports {
			if spec.Path.Value == `"crypto/tls"` && spec.Name == nil {
				t.Errorf("%s: imports both tls packages; name the standard one", f.path)
			}
		}
	}
}
