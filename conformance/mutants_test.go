// Gateways with a fault each: a harness that notices nothing proves nothing. `make mutants`.
//
// A mutant is the gateway built with one passage of its sources replaced (by go build -overlay, so that the sources themselves know nothing of
// it). The suite must pass with the gateway as it is, and the named test must fail with the mutant.

package conformance

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mutant is one fault.
type mutant struct {
	name string // what is wrong
	file string // relative to the project's root
	old  string // stands there once
	new  string
	test string // the suite's test that must fail
}

func faults() []mutant {
	return []mutant{
		{
			"references need no grant", "gateway/grant.go",
			"return granted.all || granted.names[target.Name]", "return granted.all || granted.names[target.Name] || true",
			"HTTPRouteInvalidCrossNamespaceBackendRef",
		},
		{
			"later rules come first", "router/paths.go",
			"cmp.Compare(a.at, b.at)", "cmp.Compare(b.at, a.at)",
			"HTTPRouteRuleOrder",
		},
		{
			"fewer headers come first", "router/precedence.go",
			"cmp.Compare(b.headers, a.headers)", "cmp.Compare(a.headers, b.headers)",
			"HTTPRouteHeaderMatching",
		},
		{
			"prefixes match by characters", "proxy/compile.go",
			"prefix = len(trimSlash(out.Path))\n", "prefix = len(trimSlash(out.Path))\nout.PathType, out.Path = router.RegularExpression, out.Path+\".*\"\n",
			"HTTPRouteMatching",
		},
		{
			"weights are ignored", "gateway/backend.go",
			"Weight: deref(ref.Weight, 1)", "Weight: 1",
			"HTTPRouteWeight",
		},
		{
			"routes attach whatever their hostnames", "gateway/hostname.go",
			"default:\n\t\t\tcontinue", "default:\n\t\t\teffective = declared",
			"HTTPRouteHostnameIntersection",
		},
		{
			"observedGeneration stays behind", "gateway/status_condition.go",
			`"observedGeneration": w.object.Meta.Generation`, `"observedGeneration": int64(1)`,
			"HTTPRouteObservedGenerationBump",
		},
		{
			"the mirror answers", "proxy/serve.go",
			"c.mirror(f.mirrors, authority, path)\n\t}\n\tf = c.share.filters",
			"_, _ = authority, path\nc.share = &share{source: c.share.source, filters: new(filters), backend: f.mirrors[0].backend}\n\t}\n\tf = c.share.filters",
			"HTTPRouteRequestMirror",
		},
		{
			"allowedRoutes admits every namespace", "gateway/namespace.go",
			"return namespace == f.own", "return true",
			"HTTPRouteInvalidCrossNamespaceParentRef",
		},
		{
			"a header matches whatever its value", "router/predicates.go",
			"return string(value) == t.value", "return true",
			"HTTPRouteHeaderMatching",
		},
		{
			"redirects to another scheme keep the port", "proxy/redirect.go",
			"return 0 // http and https are the only schemes", "return listenerPort // http and https are the only schemes",
			"HTTPRouteRedirectPortAndScheme",
		},
		{
			"listeners are not isolated", "proxy/host.go",
			"func (h *hostIndex) find(host []byte) int32 {\n", "func (h *hostIndex) find(host []byte) int32 {\nif h.any != noListener {\nreturn h.any\n}\n",
			"GatewayHTTPListenerIsolation",
		},
		{
			"timeouts never end", "proxy/forward.go",
			"if timeouts.Request > 0 {", "if timeouts.Request < 0 {",
			"HTTPRouteTimeoutRequest",
		},
		{
			"clients need no certificate", "tls/clients.go",
			"config.ClientAuth = tls.RequireAndVerifyClientCert", "config.ClientAuth = tls.VerifyClientCertIfGiven\ncr.clients.InsecureFallback = true",
			"GatewayFrontendClientCertificateValidation",
		},
		{
			"any backend's certificate will do", "proxy/secure.go",
			"InsecureSkipVerify: demand.Insecure,", "InsecureSkipVerify: true,",
			"BackendTLSPolicy",
		},
		{
			"other controllers' conditions are lost", "gateway/status_condition.go",
			"ok && !ownedType(t)", "ok && !ownedType(t) && false",
			"GatewayPreserveForeignConditions",
		},
	}
}

// A change of the sources that loses a mutant, or breaks one, is noticed without running any: all are compiled, several at once where they
// change different files.
func TestMutantsFitTheSources(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for left := faults(); len(left) > 0; {
		var later []mutant
		dir, files := t.TempDir(), map[string]string{}
		for i, m := range left {
			original := filepath.Join(root, filepath.FromSlash(m.file))
			if files[original] != "" {
				later = append(later, m)
				continue
			}
			files[original] = filepath.Join(dir, strconv.Itoa(i)+".go")
			m.change(t, original, files[original])
		}
		build(t, root, os.DevNull, "-overlay", overlay(t, dir, files))
		left = later
	}
}

func TestMutants(t *testing.T) {
	if !*mutants {
		t.Skip("no -mutants given: use make mutants")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sound := filepath.Join(t.TempDir(), "wicketgate")
	build(t, root, sound)
	passed := map[string]bool{}
	for _, m := range faults() {
		t.Run(m.name, func(t *testing.T) {
			if !passed[m.test] {
				if out, ok := runSuite(t, sound, m.test); !ok || !strings.Contains(out, "--- PASS: TestConformance/"+m.test+" ") {
					t.Fatalf("%s does not pass with the gateway as it is:\n%s", m.test, out)
				}
				passed[m.test] = true
			}
			dir := t.TempDir()
			program, changed := filepath.Join(dir, "wicketgate"), filepath.Join(dir, "changed.go")
			original := filepath.Join(root, filepath.FromSlash(m.file))
			m.change(t, original, changed)
			build(t, root, program, "-overlay", overlay(t, dir, map[string]string{original: changed}))
			if out, ok := runSuite(t, program, m.test); ok || !strings.Contains(out, "--- FAIL: TestConformance/"+m.test+" ") {
				t.Errorf("%s does not notice it:\n%s", m.test, out)
			}
		})
	}
}

// change writes the mutant's file with the fault in it.
func (m *mutant) change(t *testing.T, original, changed string) {
	t.Helper()
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("%s has %q %d times: adapt the mutant to the sources", m.file, m.old, n)
	}
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// overlay writes the list of what go build reads in place of files.
func overlay(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	list := filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": files})
	if err == nil {
		err = os.WriteFile(list, replace, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func build(t *testing.T, root, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-trimpath", "-o", program}, args...), ".")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, out)
	}
}

// runSuite runs one test of the suite against a program, with short timeouts, and gives the end of what it says.
func runSuite(t *testing.T, program, test string) (out string, passed bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.timeout=5m", "-test.run=^TestConformance$", "-program="+program,
		"-run-test="+test, "-conformance-options-file=quick.yaml")
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &all, &all
	err = cmd.Run()
	var lines []string
	for line := range strings.Lines(all.String()) {
		if !strings.Contains(line, "--- SKIP") && strings.Contains(line, "--- ") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 { // it did not come to tests
		return all.String()[max(0, all.Len()-4000):], err == nil
	}
	return strings.Join(lines, ""), err == nil
}
