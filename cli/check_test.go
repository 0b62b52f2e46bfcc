// check, version, help and completion: commands that end by themselves.

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// directory writes files into a new directory.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheck(t *testing.T) {
	const port = 8080
	fine := map[string]string{"gateway.yaml": gatewayYAML(port), "shop.yaml": routeYAML("shop", "/", 3000)}
	typo := map[string]string{"gateway.yaml": gatewayYAML(port), "shop.yaml": strings.Replace(routeYAML("shop", "/", 3000), "backendRefs", "backends", 1)}
	torn := map[string]string{"gateway.yaml": gatewayYAML(port), "torn.yaml": "kind: [unclosed\n"}
	orphan := map[string]string{"shop.yaml": routeYAML("shop", "/", 3000)}
	for name, c := range map[string]struct {
		files map[string]string
		code  int
		want  []string // lines, in part
	}{
		"nothing wrong":         {fine, 0, nil},
		"an unknown field":      {typo, 1, []string{`shop.yaml:8:5: HTTPRoute default/shop: spec.rules[0].backends: unknown field (did you mean "backendRefs"?)`}},
		"text that is no YAML":  {torn, 1, []string{"torn.yaml:"}},
		"a Gateway that is not": {orphan, 1, []string{"shop.yaml:"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := directory(t, c.files)
			stdout, stderr, code := program(t, "check", dir)
			if code != c.code || c.want == nil && stdout != "" {
				t.Errorf("exit status %d, want %d\n%s%s", code, c.code, stdout, stderr)
			}
			for _, w := range c.want {
				if !strings.Contains(stdout, w) {
					t.Errorf("no %q in\n%s", w, stdout)
				}
			}
			if !strings.Contains(stderr, "error") {
				t.Errorf("no summary: %q", stderr)
			}
		})
	}
}

// TestCheckReadsPipes is `helm template . | wicketgate check -`, and the shell's <(helm template .).
func TestCheckReadsPipes(t *testing.T) {
	fine := gatewayYAML(8080) + "---\n" + routeYAML("shop", "/", 3000)
	typo := strings.Replace(fine, "backendRefs", "backends", 1)
	big := "# " + strings.Repeat("x", 17<<20)
	piped := func(text string) string {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		go func() {
			defer w.Close()
			_, _ = io.WriteString(w, text)
		}()
		return fmt.Sprintf("/dev/fd/%d", r.Fd())
	}
	for name, c := range map[string]struct {
		arg, stdin string
		code       int
		want       string
	}{
		"standard input":             {"-", fine, 0, "1 file, 4 objects: 0 errors"},
		"a typing error":             {"-", typo, 1, "stdin:"},
		"a confined pipe":            {piped("kind: Namespace\napiVersion: v1\nmetadata: {name: a}\n") + ":shop", "", 1, "may only hold objects of namespace shop"},
		"nothing at all":             {"-", "", 1, "stdin: is empty"},
		"more than a file may have":  {"-", big, 1, "stdin: is larger than 16 MiB"},
		"a pipe":                     {piped(fine), "", 0, "1 file, 4 objects: 0 errors"},
		"a typing error in a pipe":   {piped(typo), "", 1, `: HTTPRoute default/shop: spec.rules[0].backends: unknown field (did you mean "backendRefs"?)`},
		"a file that does not exist": {"nowhere", "", 1, "nowhere does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat("/dev/fd"); err != nil && strings.HasPrefix(c.arg, "/dev/fd") {
				t.Skip(err)
			}
			var out strings.Builder
			code := Execute(t.Context(), Program{Stdin: strings.NewReader(c.stdin), Stdout: &out, Stderr: &out}, []string{"check", c.arg})
			if code != c.code || !strings.Contains(out.String(), c.want) {
				t.Errorf("exit status %d, want %d and %q:\n%s", code, c.code, c.want, out.String())
			}
		})
	}
}

func TestCheckOrdersProblemsByPosition(t *testing.T) {
	unserved := "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: first}\nspec: {}\n---\n"
	typo := strings.Replace(routeYAML("shop", "/", 3000), "backendRefs", "backends", 1)
	stdout, _, _ := program(t, "check", directory(t, map[string]string{"a.yaml": gatewayYAML(8080) + "---\n" + unserved + typo}))
	route, field := strings.Index(stdout, "default/first"), strings.Index(stdout, "did you mean")
	if route < 0 || field < 0 || route > field {
		t.Errorf("the order of the file is not that of the problems:\n%s", stdout)
	}
}

func TestCheckJSON(t *testing.T) {
	dir := directory(t, map[string]string{"shop.yaml": gatewayYAML(8080) + "---\n" + strings.Replace(routeYAML("shop", "/", 3000), "backendRefs", "backends", 1)})
	stdout, _, code := program(t, "check", dir, "-o", "json")
	var list []finding
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != 1 {
		t.Fatalf("exit status %d, %v in %s", code, err, stdout)
	}
	for _, f := range list {
		if f.Field == "spec.rules[0].backends" && f.Severity == "error" && strings.HasSuffix(f.File, "shop.yaml") && f.Line > 0 && f.Column == 5 &&
			f.Kind == "HTTPRoute" && f.Namespace == "default" && f.Name == "shop" && strings.Contains(f.Message, "unknown field") {
			return
		}
	}
	t.Errorf("%+v", list)
}

func TestCheckPrintsRoutes(t *testing.T) {
	dir := directory(t, map[string]string{"all.yaml": gatewayYAML(80) + "---\n" + routeYAML("shop", "/cart", 3000)})
	stdout, stderr, code := program(t, "check", dir, "--print-routes", "--port-map", "80=8080")
	if code != 0 {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	for _, want := range []string{"socket 127.0.0.1:8080", "default/web p80", "/cart", "HTTPRoute default/shop rule 0", "Service default/shop"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

func TestCheckConfinesDirectories(t *testing.T) {
	dir := directory(t, map[string]string{"shop.yaml": routeYAML("shop", "/", 3000)})
	stdout, _, code := program(t, "check", dir+":team-a,team-b")
	if code != 1 || !strings.Contains(stdout, "team-a") {
		t.Errorf("exit status %d: %s", code, stdout)
	}
}

func TestCheckUsage(t *testing.T) {
	for args, want := range map[string]string{
		"check":                             "name the directories or files to check",
		"get":                               "name the kinds to get",
		"chekc .":                           `did you mean "check"?`,
		"nonsense":                          `there is no command "nonsense"`,
		"apply -f shop.yaml":                `there is no command "apply": objects are the files in the directories of --config`,
		"describe httproute shop":           "wicketgate get KIND NAME -o yaml",
		"serve":                             "wicketgate run --config DIR",
		".":                                 "to serve a directory or file, wicketgate run --config .",
		"run gateway":                       "as in --config gateway",
		"run --amin 127.0.0.1:9080":         "unknown flag: --amin (did you mean --admin?)",
		"get gateways -w":                   "unknown shorthand flag: 'w' in -w\n",
		"check --config /nonexistent/dir":   "/nonexistent/dir",
		"check --admin 127.0.0.1:9080 .":    "unknown flag: --admin\n",
		"check /nonexistent/directory":      "/nonexistent/directory",
		"check . -o xml":                    "text nor json",
		"check . -o json --print-routes":    "leave out -o json",
		"check . --merge-gateways sometime": "--merge-gateways",
	} {
		if _, stderr, code := program(t, strings.Fields(args)...); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %q lacks %q", args, code, stderr, want)
		}
	}
}

func TestHelpVersionAndCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"--help":                    "wicketgate run --config",
		"run --help":                "--drain-timeout",
		"check --help":              "Examples:",
		"get --help":                "Examples:",
		"echo --help":               "Examples:",
		"version --help":            "Examples:",
		"--version":                 "wicketgate version v0.0.0-test",
		"version":                   "wicketgate v0.0.0-test",
		"completion bash":           "wicketgate",
		"completion zsh":            "wicketgate",
		"completion fish":           "wicketgate",
		"__complete get ":           "httproutes",
		"__complete run --config x": "",
	} {
		fields := strings.Fields(args)
		if strings.HasSuffix(args, " ") {
			fields = append(fields, "")
		}
		if stdout, stderr, code := program(t, fields...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit status %d, no %q in\n%s%s", args, code, want, stdout, stderr)
		}
	}
}
