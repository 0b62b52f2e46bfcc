// Golden tests: YAML in, the graph and the statuses out; and that the order of objects does not matter.

package gateway

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/wicketgate/wicketgate/object"
)

var update = flag.Bool("update", false, "rewrite the routes, statuses and problems of the files in testdata")

// golden is one file of testdata: a comment that says what it shows, perhaps lines "option: NAME VALUE", in.yaml, and what comes of it.
type golden struct {
	archive *txtar.Archive
	objects []*object.Object
	opts    Options
	bound   Bound
}

// readGolden reads a file. Options are strict, unfinished (serve also what has no data plane yet), controller NAME, dns off, external-name on, unix DIR, map 80=8080, pool CIDR, merge all, fail ADDR:PORT (in use) and
// missing ADDR:PORT (not an address of this machine).
func readGolden(t testing.TB, path string) *golden {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{archive: archive, opts: Options{DNSBackends: true}, bound: Bound{Failed: map[Binding]error{}}}
	for line := range strings.Lines(string(archive.Comment)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "option:" {
			g.option(t, words[1], words[2:])
		}
	}
	g.objects = parseObjects(t, g.file("in.yaml"))
	return g
}

func (g *golden) option(t testing.TB, named string, args []string) {
	t.Helper()
	value := strings.Join(args, " ")
	switch named {
	case "strict":
		g.opts.Strict = true
	case "unfinished":
		g.opts.unfinished = true
	case "http3":
		g.opts.HTTP3 = true
	case "controller":
		g.opts.ControllerName = value
	case "dns":
		g.opts.DNSBackends = value != "off"
	case "external-name":
		g.opts.ExternalName = true
	case "unix":
		g.opts.UnixDir = value
	case "merge":
		g.opts.MergeAcrossNamespaces = value == "all"
	case "pool":
		g.opts.AddressPool = netip.MustParsePrefix(value)
	case "map":
		from, to, _ := strings.Cut(value, "=")
		port, err := strconv.Atoi(from)
		bind, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil {
			t.Fatalf("option map %s", value)
		}
		g.opts.PortMap = map[int32]uint16{int32(port): uint16(bind)}
	case "fail":
		g.bound.Failed[Binding{AddrPort: netip.MustParseAddrPort(value)}] = fmt.Errorf("cannot listen on %s: %w", value, syscall.EADDRINUSE)
	case "missing":
		g.bound.Failed[Binding{AddrPort: netip.MustParseAddrPort(value)}] = fmt.Errorf("cannot listen on %s: %w", value, syscall.EADDRNOTAVAIL)
	default:
		t.Fatalf("option %s is not known", named)
	}
}

func (g *golden) file(named string) string {
	for _, f := range g.archive.Files {
		if f.Name == named {
			return string(f.Data)
		}
	}
	return ""
}

// outputs builds, and prints the three parts that the file records.
func (g *golden) outputs(objects []*object.Object) [3]txtar.File {
	graph := Build(object.NewSet(objects...), g.opts)
	statuses := Statuses(graph, g.bound, nil, testTime)
	problems := slices.Concat(graph.Problems, CertificateProblems(graph, testTime))
	return [3]txtar.File{
		{Name: "routes", Data: []byte(printRoutes(graph))},
		{Name: "status", Data: []byte(printStatuses(statuses))},
		{Name: "problems", Data: []byte(printProblems(problems))},
	}
}

func goldenFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	return files
}

func TestGolden(t *testing.T) {
	for _, path := range goldenFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			g := readGolden(t, path)
			got := g.outputs(g.objects)
			if *update {
				archive := &txtar.Archive{Comment: g.archive.Comment, Files: []txtar.File{{Name: "in.yaml", Data: []byte(g.file("in.yaml"))}}}
				archive.Files = append(archive.Files, got[:]...)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, f := range got {
				if want := g.file(f.Name); want != string(f.Data) {
					t.Errorf("%s is not what the file says (-update rewrites it)\n--- got\n%s--- want\n%s", f.Name, f.Data, want)
				}
			}
		})
	}
}

// The same objects in any order give the same graph, statuses and problems.
func TestOrderOfObjectsDoesNotMatter(t *testing.T) {
	for _, path := range goldenFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			g := readGolden(t, path)
			want := fmt.Sprintf("%s", g.outputs(g.objects))
			random := rand.New(rand.NewPCG(1, 2))
			for range 20 {
				random.Shuffle(len(g.objects), func(i, j int) { g.objects[i], g.objects[j] = g.objects[j], g.objects[i] })
				if got := fmt.Sprintf("%s", g.outputs(g.objects)); got != want {
					t.Fatalf("another order gives\n%s\ninstead of\n%s", got, want)
				}
			}
		})
	}
}
