// What the documents say of flags, environment, annotations and metrics is compared with what there is.

package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wicketgate/wicketgate/admin"
)

// document reads a page of docs/.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// flagRow is a row of a table of flags: `--name VALUE`, default, effect.
var flagRow = regexp.MustCompile("^\\| `(?:-\\w, )?--([a-z0-9-]+)[^`]*` \\| (.*?) \\| (.+) \\|$")

// documentedFlags gives the defaults that docs/configuration.md names, by command and flag. A heading "## run and check" begins the flags of both.
func documentedFlags(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	var commands []string
	for line := range strings.Lines(document(t, "configuration.md")) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "## Flags of "); ok {
			commands = strings.Split(heading, " and ")
		} else if strings.HasPrefix(line, "## ") {
			commands = nil
		}
		m := flagRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, c := range commands {
			if all[c] == nil {
				all[c] = map[string]string{}
			}
			if _, twice := all[c][m[1]]; twice {
				t.Errorf("docs/configuration.md has --%s of %s twice", m[1], c)
			}
			all[c][m[1]] = m[2]
		}
	}
	return all
}

func TestEveryFlagIsInTheReference(t *testing.T) {
	documented := documentedFlags(t)
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "wicketgate ")
		if c.HasParent() && c.Name() != "help" && c.Name() != "completion" {
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				cell, ok := documented[name][f.Name]
				delete(documented[name], f.Name)
				unset := f.DefValue == "" || f.DefValue == "[]" || f.DefValue == "false" || f.DefValue == "0"
				switch {
				case f.Name == "help":
				case !ok:
					t.Errorf("docs/configuration.md does not have --%s of %s", f.Name, name)
				case !unset && !strings.Contains(cell, "`"+strings.Trim(f.DefValue, "[]")+"`"):
					t.Errorf("docs/configuration.md says %q, and the default of --%s of %s is %q", cell, f.Name, name, f.DefValue)
				}
			})
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(Program{Stdout: io.Discard, Stderr: io.Discard}))
	for command, flags := range documented {
		for name := range flags {
			t.Errorf("docs/configuration.md has --%s of %s, which is no flag", name, command)
		}
	}
}

// literals gives the strings in the sources of the module, tests aside, that a pattern matches as a whole.
func literals(t *testing.T, pattern *regexp.Regexp) []string {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "conformance" || name == "bench" || name == "internal" || path != ".." && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && text != "" && pattern.FindString(text) == text {
					found[text] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(found))
}

func TestAnnotationsAndEnvironmentAreInTheReference(t *testing.T) {
	text := document(t, "configuration.md")
	annotations := literals(t, regexp.MustCompile(`(wicketgate\.dev|cert-manager\.io)/[a-z-]+`))
	variables := literals(t, regexp.MustCompile(`(STATE_DIRECTORY|XDG_[A-Z_]+|NOTIFY_[A-Z_]+|LISTEN_[A-Z]+|WICKETGATE_[A-Z_]+|AWS_[A-Z_]+)`))
	if len(annotations) < 20 || len(variables) < 4 {
		t.Fatalf("found %q and %q", annotations, variables)
	}
	for _, name := range slices.Concat(annotations, variables) {
		if name != "wicketgate.dev/gateway-controller" && !strings.Contains(text, "`"+name+"`") { // a controllerName, which is no annotation
			t.Errorf("docs/configuration.md does not have %s", name)
		}
	}
	for _, m := range regexp.MustCompile("\\| `((?:wicketgate\\.dev|cert-manager\\.io)/[a-z-]+)`").FindAllStringSubmatch(text, -1) {
		if !slices.Contains(annotations, m[1]) {
			t.Errorf("docs/configuration.md has annotation %s, which nothing reads", m[1])
		}
	}
}

var (
	description = regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)".*variableLabels: {([^}]*)}`)
	metricRow   = regexp.MustCompile("^\\| `(wicketgate_[a-z0-9_]+)(?:{([a-z_,]*)})?` \\|")
)

func TestEveryMetricIsInTheReference(t *testing.T) {
	registry := everyMetric(t)
	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	there := map[string]string{}
	for d := range descriptions {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if strings.HasPrefix(m[1], "wicketgate_") {
			labels := strings.Split(m[3], ",")
			slices.Sort(labels)
			there[m[1]] = strings.Join(labels, ",")
		}
	}
	for line := range strings.Lines(document(t, "metrics.md")) {
		m := metricRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		labels := strings.Split(m[2], ",")
		slices.Sort(labels)
		want, ok := there[m[1]]
		switch {
		case !ok:
			t.Errorf("docs/metrics.md has %s, which is no metric, or has it twice", m[1])
		case strings.Join(labels, ",") != want:
			t.Errorf("docs/metrics.md says that %s has the labels %s, and it has %s", m[1], m[2], want)
		}
		delete(there, m[1])
	}
	for name, labels := range there {
		t.Errorf("docs/metrics.md does not have %s{%s}", name, labels)
	}
}

// everyMetric gives the registry of a gateway for which everything is turned on.
func everyMetric(t *testing.T) *prometheus.Registry {
	t.Helper()
	o := &runOptions{}
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	o.register(flags)
	if err := flags.Parse([]string{
		"--config", t.TempDir(), "--access-log", filepath.Join(t.TempDir(), "access.log"), "--local-ca", "--on-demand-ask", "http://127.0.0.1:1/",
	}); err != nil {
		t.Fatal(err)
	}
	s, err := o.understand()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	access, err := openAccessLog(o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(access.Close)
	g, err := assemble(o, s, log, admin.Version{}, nil, access)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.proxy.Close)
	return g.metrics
}
