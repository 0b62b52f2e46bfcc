// A stand: a directory, and what a gateway that reads it again and again makes of it, without sockets.

package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// now is the time of every load.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// stand reads one directory again and again, as a running gateway does: what one load found is what the next begins with.
type stand struct {
	dir      string
	loader   *config.Loader
	opts     gateway.Options
	graph    *gateway.Graph
	proxy    *proxy.Proxy
	statuses *gateway.StatusSet
	result   *config.Result
	omit     []string // fields of statuses that outcomes leave out
}

func newStand(t testing.TB, opts gateway.Options) *stand {
	t.Helper()
	dir := t.TempDir()
	refuse := func(context.Context, netip.AddrPort, bool) (net.Conn, error) {
		return nil, errors.New("nothing is dialled here")
	}
	s := &stand{
		dir: dir, opts: opts, loader: config.New(config.Options{Roots: []config.Root{{Path: dir}}}),
		omit:  []string{"lastTransitionTime", "observedGeneration"},
		proxy: proxy.New(proxy.Options{Registry: backend.NewRegistry(backend.Options{Dial: refuse})}),
	}
	t.Cleanup(s.proxy.Close)
	return s
}

// confine makes a directory below the stand's own one that may only hold objects of the namespace of its name.
func (s *stand) confine(t testing.TB, namespace string) {
	t.Helper()
	dir := filepath.Join(s.dir, namespace)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.loader = config.New(config.Options{Roots: []config.Root{{Path: s.dir}, {Path: dir, Namespaces: []string{namespace}}}})
}

// write makes a file that counts as written long ago, so that no load waits for it to settle. No content removes it.
func (s *stand) write(t testing.TB, rel, content string) {
	t.Helper()
	name := filepath.Join(s.dir, filepath.FromSlash(rel))
	if content == "" {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
}

// outcome is everything that files lead to, as text.
type outcome struct {
	statuses string // of each object, one a line, without times and generations
	problems string // without positions
	routes   string // what `check --print-routes` prints, without positions
	plan     string // all that the data plane knows
}

// load runs every stage over the directory.
func (s *stand) load(t testing.TB) outcome {
	t.Helper()
	result, err := s.loader.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s.result = result
	return s.outcome(t, result.Objects, result.Problems)
}

// outcome runs the stages after admission.
func (s *stand) outcome(t testing.TB, set *object.Set, found []object.Problem) outcome {
	t.Helper()
	plan := issue.Read(set, issue.Options{})
	s.graph = gateway.Rebuild(s.graph, set, s.opts)
	graph := s.graph
	snapshot := s.proxy.Compile(graph, s.proxy.Current())
	s.proxy.Swap(snapshot)
	s.statuses = gateway.Statuses(graph, gateway.Bound{}, s.statuses, now)
	var out outcome
	var routes, statuses, problems strings.Builder
	if err := snapshot.Print(&routes); err != nil {
		t.Fatal(err)
	}
	out.routes = places.ReplaceAllString(routes.String(), "")
	for k, tree := range s.statuses.All() {
		raw, err := json.Marshal(without(tree, s.omit))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&statuses, "%s: %s\n", k, raw)
		if got, want := s.statuses.Generation(k), set.Get(k).Meta.Generation; got != want {
			t.Errorf("%s: the status speaks of generation %d, and %d is served", k, got, want)
		}
	}
	for _, list := range [][]object.Problem{found, plan.Problems, graph.Problems, snapshot.Problems(), plan.Review(graph)} {
		for _, p := range list {
			p.Position = object.Position{}
			fmt.Fprintln(&problems, p)
		}
	}
	out.statuses, out.problems, out.plan = statuses.String(), problems.String(), dump(snapshot, graph)+wanted(plan)
	return out
}

// wanted is what certificates are asked for, and of whom.
func wanted(p *issue.Plan) string {
	var b strings.Builder
	for _, c := range p.Certificates {
		fmt.Fprintf(&b, "%s %q %+v", c.Secret, c.Names(), c.Unusable)
		if c.Issuer != nil {
			fmt.Fprintf(&b, " by %s in %s", c.Issuer.Key, c.Issuer.Namespace())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// places are the positions in printed routes.
var places = regexp.MustCompile(` \([^() ]*:\d+(:\d+)?\)`)

// without copies a JSON tree and leaves out fields of some names.
func without(v any, names []string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if !slices.Contains(names, k) {
				out[k] = without(x, names)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = without(x, names)
		}
		return out
	}
	return v
}
