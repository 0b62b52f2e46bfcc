// Tests of what a Loader remembers from load to load.

package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// directory is a directory of configuration and the Loader that reads it.
type directory struct {
	t      *testing.T
	path   string
	loader *Loader
}

func newDirectory(t *testing.T) *directory {
	dir := t.TempDir()
	return &directory{t: t, path: dir, loader: eager(Options{Roots: []Root{{Path: dir}}})}
}

func (d *directory) write(name, content string) *directory {
	d.t.Helper()
	write(d.t, filepath.Join(d.path, name), content)
	return d
}

func (d *directory) remove(name string) *directory {
	d.t.Helper()
	if err := os.RemoveAll(filepath.Join(d.path, name)); err != nil {
		d.t.Fatal(err)
	}
	return d
}

func (d *directory) load() *Result {
	d.t.Helper()
	r, err := d.loader.Load(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// expect compares the objects in force, "name" or "name stale", and the number of errors.
func (d *directory) expect(r *Result, errors int, names ...string) {
	d.t.Helper()
	var got []string
	for _, k := range r.Objects.Keys() {
		name := k.Name
		if r.Objects.Get(k).Stale {
			name += " stale"
		}
		got = append(got, name)
	}
	if !slices.Equal(got, names) {
		d.t.Errorf("in force: %q, want %q", got, names)
	}
	count := 0
	for _, p := range r.Problems {
		if p.Severity == object.Error {
			count++
		}
	}
	if count != errors {
		d.t.Errorf("%d errors, want %d: %v", count, errors, r.Problems)
	}
}

// route is an HTTPRoute of a name with one path.
func route(name, path string) string {
	return fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s}
spec:
  rules:
    - matches: [{path: {value: %q}}]
      backendRefs: [{name: cart, port: 80}]
`, name, path)
}

const brokenText = "a: \"never closed\n"

func key(name string) object.Key {
	return object.Key{Group: gatewayGroup, Kind: "HTTPRoute", Namespace: "default", Name: name}
}

func TestARejectedObjectKeepsItsLastVersion(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/1")+route("b", "/1"))
	d.expect(d.load(), 0, "a", "b")
	d.write("a.yaml", route("a", "relative")+route("b", "/2"))
	r := d.load()
	d.expect(r, 1, "a stale", "b")
	if got := *r.Objects.Get(key("a")).Value.(*gatewayv1.HTTPRoute).Spec.Rules[0].Matches[0].Path.Value; got != "/1" {
		t.Errorf("the stale version has %s", got)
	}
	stale := r.Objects.Get(key("a"))
	if again := d.load(); again.Objects.Get(key("a")) != stale {
		t.Error("a stale object changed between two loads of the same files")
	}
	d.write("a.yaml", route("a", "/3")+route("b", "/2"))
	r = d.load()
	d.expect(r, 0, "a", "b")
	if g := r.Objects.Get(key("a")).Meta.Generation; g != 2 {
		t.Errorf("generation %d after one admitted change, want 2", g)
	}
}

func TestABrokenFileKeepsItsObjects(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/")+route("b", "/")).write("z.yaml", route("z", "/"))
	d.expect(d.load(), 0, "a", "b", "z")
	d.write("a.yaml", brokenText)
	d.expect(d.load(), 1, "a stale", "b stale", "z")
	d.write("a.yaml", route("a", "/")+"---\n"+brokenText)
	d.expect(d.load(), 1, "a", "b stale", "z")
	d.write("a.yaml", "- a\n- list\n")
	d.expect(d.load(), 1, "a stale", "b stale", "z")
	d.write("a.yaml", route("a", "/"))
	d.expect(d.load(), 0, "a", "z")
	d.write("a.yaml", brokenText).write("b.yaml", route("a", "/moved"))
	d.expect(d.load(), 1, "a", "z")
}

func TestAnObjectWhoseNameIsDamagedIsKept(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/"))
	d.load()
	for _, damage := range []string{
		route(`"A_"`, "/"), route(`""`, "/"), route("5", "/"),
		strings.Replace(route("a", "/"), "kind: HTTPRoute", "kind: HttpRoute", 1),
		strings.Replace(route("a", "/"), "kind: HTTPRoute", "", 1),
		strings.Replace(route("a", "/"), "io/v1", "io/v1alpha2", 1),
	} {
		d.expect(d.write("a.yaml", damage).load(), 1, "a stale")
	}
}

func TestADirectoryWithoutFilesIsReported(t *testing.T) {
	d := newDirectory(t)
	for _, step := range []func(){func() {}, func() { d.write("notes.txt", "no YAML") }} {
		step()
		if r := d.load(); len(r.Problems) != 1 || r.Problems[0].Severity != object.Warning || !strings.Contains(r.Problems[0].String(), "nothing is served") {
			t.Errorf("problems %v", r.Problems)
		}
	}
	if r := d.write("a.yaml", route("a", "/")).load(); len(r.Problems) != 0 {
		t.Errorf("problems %v", r.Problems)
	}
}

func TestDeletion(t *testing.T) {
	d := newDirectory(t).write("sub/a.yaml", route("a", "/")+route("b", "/")).write("sub/c.yaml", route("c", "/"))
	d.expect(d.load(), 0, "a", "b", "c")
	d.write("sub/a.yaml", route("a", "/"))
	d.expect(d.load(), 0, "a", "c")
	d.remove("sub/a.yaml")
	d.expect(d.load(), 0, "c")
	d.remove("sub")
	d.expect(d.load(), 0)
}

func TestARootThatVanishesKeepsItsObjectsAndAnEmptyOneDeletesThem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conf")
	d := &directory{t: t, path: dir, loader: eager(Options{Roots: []Root{{Path: dir}}})}
	if _, err := d.loader.Load(context.Background()); err == nil || !strings.Contains(err.Error(), "create the directory") {
		t.Fatalf("missing at start: %v", err)
	}
	d.write("a.yaml", route("a", "/"))
	d.expect(d.load(), 0, "a")
	d.remove(".")
	r := d.load()
	d.expect(r, 1, "a stale")
	if got := r.Problems[0].String(); !strings.HasPrefix(got, dir+": ") || !strings.Contains(got, "stays in force") {
		t.Error(got)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.expect(d.load(), 0)
}

func TestAnUnreadableFileKeepsItsObjects(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/")).write("sub/b.yaml", route("b", "/"))
	d.expect(d.load(), 0, "a", "b")
	d.remove("a.yaml")
	if err := os.Symlink("nowhere", filepath.Join(d.path, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	d.expect(d.load(), 1, "a stale", "b")
	d.remove("a.yaml").write("a.yaml", route("a", "/")+strings.Repeat("# long\n", 10_000))
	d.loader.lim.fileBytes = 10_000
	d.expect(d.load(), 1, "a stale", "b")
	d.loader.lim = defaultLimits
	d.expect(d.load(), 0, "a", "b")
	d.loader.lim.totalBytes = 10
	d.expect(d.load(), 2, "a stale", "b stale")
	d.loader.lim = defaultLimits
	d.loader.lim.files = 1
	d.expect(d.load(), 1, "a", "b stale")
	d.loader.lim = defaultLimits
	d.loader.lim.dirDepth = 0
	d.expect(d.load(), 1, "a", "b stale")
}

func TestTheAdmittedOneOfTwoStays(t *testing.T) {
	d := newDirectory(t).write("m.yaml", route("a", "/m"))
	d.load()
	d.write("b.yaml", route("a", "/b"))
	r := d.load()
	d.expect(r, 1, "a")
	if got := r.Objects.Get(key("a")).Position.File; got != d.path+"/m.yaml" {
		t.Errorf("in force: %s", got)
	}
	if got := r.Problems[0].String(); !strings.Contains(got, "b.yaml:2:1: ") || !strings.Contains(got, "m.yaml:2:1") {
		t.Errorf("both places should be named: %s", got)
	}
	d.write("m.yaml", route("a", "broken"))
	d.expect(d.load(), 2, "a stale")
	d.remove("m.yaml")
	r = d.load()
	d.expect(r, 0, "a")
	if got := r.Objects.Get(key("a")); got.Position.File != d.path+"/b.yaml" || got.Meta.Generation != 2 {
		t.Errorf("in force: %s generation %d", got.Position, got.Meta.Generation)
	}
	d.write("b.yaml", route("a", "/first")+route("a", "/b"))
	r = d.load()
	d.expect(r, 1, "a")
	if got := r.Objects.Get(key("a")); got.Position.Line != 10 {
		t.Errorf("an object added above it with the same name took its place: %s", got.Position)
	}
}

// An exported object that was deleted and created again under its name brings its own generation: nothing of the old one's is carried on.
func TestGenerationOfAnotherObject(t *testing.T) {
	with := func(uid, path string) string {
		return strings.Replace(route("a", path), "name: a}", fmt.Sprintf("name: a, generation: 1, uid: %s}", uid), 1)
	}
	d := newDirectory(t)
	for i, step := range []struct {
		uid, path string
		want      int64
	}{{"one", "/1", 1}, {"one", "/2", 2}, {"two", "/3", 1}, {"two", "/4", 2}} {
		if got := d.write("a.yaml", with(step.uid, step.path)).load().Objects.Get(key("a")).Meta.Generation; got != step.want {
			t.Errorf("step %d: generation %d, want %d", i, got, step.want)
		}
	}
}

func TestGeneration(t *testing.T) {
	with := func(generation int, path string) string {
		return strings.Replace(route("a", path), "name: a}", fmt.Sprintf("name: a, generation: %d, annotations: {x: %q}}", generation, path), 1)
	}
	d := newDirectory(t)
	for i, step := range []struct {
		text string
		want int64
	}{
		{route("a", "/1"), 1},
		{route("a", "/2"), 2},
		{"# comment\n" + route("a", "/2"), 2},
		{with(2, "/2"), 2},
		{with(7, "/3"), 7},
		{with(7, "/4"), 8},
		{with(8, "/4"), 8},
		{with(3, "/5"), 9},
		{strings.Replace(with(3, "/5"), "annotations: {x:", "annotations: {y:", 1), 9},
	} {
		o := d.write("a.yaml", step.text).load().Objects.Get(key("a"))
		metadata := o.Content["metadata"].(map[string]any)
		if got := o.Meta.Generation; got != step.want || metadata["generation"] != got || o.Value.(*gatewayv1.HTTPRoute).Generation != got {
			t.Errorf("step %d: generation %d, %v, want %d", i, got, metadata["generation"], step.want)
		}
	}
}

func TestWhatDidNotChangeIsTheSame(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/")).write("b.yaml", route("b", "/"))
	first := d.load()
	d.write("a.yaml", "\n\n"+route("a", "/"))
	second := d.load()
	if first.Objects.Get(key("b")) != second.Objects.Get(key("b")) {
		t.Error("an object of an unchanged file is another one")
	}
	a, moved := first.Objects.Get(key("a")), second.Objects.Get(key("a"))
	if a.Value != moved.Value || a.Digest != moved.Digest || moved.Position.Line != a.Position.Line+2 || moved.At("spec").Line != a.At("spec").Line+2 {
		t.Errorf("moved by two lines: %s -> %s", a.Position, moved.Position)
	}
	d.write("a.yaml", route("a", "/x"))
	if third := d.load(); third.Objects.Get(key("a")).Digest == a.Digest {
		t.Error("different objects have one digest")
	}
}

func TestConfinement(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), route("a", "/")+strings.Replace(route("b", "/"), "name: b", "name: b, namespace: other", 1)+`---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: c}
spec: {controllerName: example.com/c}
---
apiVersion: v1
kind: Namespace
metadata: {name: team}
`)
	load := func(root string) *Result {
		r, err := eager(Options{Roots: []Root{ParseRoot(root)}}).Load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := load(dir + ":team")
	if r.Objects.Len() != 1 || r.Objects.Keys()[0].Namespace != "team" || len(r.Problems) != 3 {
		t.Errorf("one namespace: %v %v", r.Objects.Keys(), r.Problems)
	}
	r = load(dir + ":team,other")
	if r.Objects.Len() != 1 || r.Objects.Keys()[0].Name != "b" || len(r.Problems) != 3 {
		t.Errorf("two namespaces have no default: %v %v", r.Objects.Keys(), r.Problems)
	}
}

// TestDigest computes the digest by the shell command that the documentation gives.
func TestDigest(t *testing.T) {
	d := newDirectory(t).write("b.yaml", route("b", "/")).write("a/z.yml", "").write("a b.json", "{}").
		write(".hidden/x.yaml", "x").write(".x.yaml", "x").write("B.yaml", "# nothing")
	got := d.load().Digest
	out, err := exec.Command("sh", "-c", `cd "$0" && find -L . -type f -not -path '*/.*' \( -name '*.yaml' -o -name '*.yml' -o -name '*.json' \) |
		sed 's|^\./||' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum`, d.path).Output()
	if err != nil {
		t.Skip("no GNU tools:", err)
	}
	if want, _, _ := strings.Cut(string(out), " "); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if d.write("b.yaml", route("b", "/2")).load().Digest == got {
		t.Error("another content has the same digest")
	}
}

func TestRoots(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "one", "a.yaml"), route("a", "/"))
	write(t, filepath.Join(dir, "two.conf"), route("b", "/"))
	t.Chdir(dir)
	r, err := eager(Options{Roots: []Root{{Path: "two.conf"}, {Path: "./one/"}}}).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if r.Files != 2 || r.Objects.Get(key("b")).Position.File != "two.conf" || r.Objects.Get(key("a")).Position.File != "one/a.yaml" {
		t.Errorf("%d files, %v %v", r.Files, r.Objects.Get(key("a")), r.Objects.Get(key("b")))
	}
}

func TestARootInAnotherIsReadOnce(t *testing.T) {
	d := newDirectory(t).write("sub/a.yaml", route("a", "/"))
	d.loader = eager(Options{Roots: []Root{{Path: d.path}, {Path: d.path + "/sub"}, {Path: d.path + "/sub/a.yaml"}}})
	d.expect(d.load(), 0, "a")
}

// TestMessagesShowNoSecrets breaks a Secret in every way that a message could repeat its content.
func TestMessagesShowNoSecrets(t *testing.T) {
	head := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	for _, text := range []string{
		head + "stringData: {password: 424242}", head + "data: {password: 424242}", head + "data: {password: \"secret-424242!\"}",
		head + "stringData: 424242", head + "data: [424242]", head + "stringData: {password: *x424242}", head + "stringData: {password: !!int x424242}",
		head + "stringData: {password: \"x424242}", head + "stringData: {password: `424242`}", head + "stringData: {password: {424242: x}}",
		head + "type: kubernetes.io/tls\nstringData: {tls.crt: \"424242\"}", head + "stringData:\n  password: a: 424242",
		head + "stringData: {? ~ : 424242}", head + "stringData: {password: \"\\x424242\\q\"}", head + "stringData: {password: .inf, b: 424242}",
	} {
		objects, problems := Parse("s.yaml", []byte(text))
		if len(problems) == 0 || len(objects) != 0 {
			t.Errorf("admitted:\n%s", text)
		}
		for _, p := range problems {
			t.Log(p)
			if strings.Contains(p.Message, "424242") {
				t.Errorf("%s", p)
			}
		}
	}
}

func TestSymlinks(t *testing.T) {
	dir := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name)+".new", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// As Kubernetes mounts a ConfigMap.
	write(t, filepath.Join(dir, "conf", "..2026_1", "a.yaml"), route("a", "/1"))
	write(t, filepath.Join(dir, "conf", "..2026_2", "a.yaml"), route("a", "/2"))
	write(t, filepath.Join(dir, "elsewhere", "b.yaml"), route("b", "/"))
	link("..2026_1", "conf/..data")
	link("..data/a.yaml", "conf/a.yaml")
	link("../elsewhere", "conf/linked")
	link("../conf", "elsewhere/loop")
	d := &directory{t: t, path: filepath.Join(dir, "conf"), loader: eager(Options{Roots: []Root{{Path: filepath.Join(dir, "conf")}}})}
	d.expect(d.load(), 0, "a", "b")
	link("..2026_2", "conf/..data")
	r := d.load()
	d.expect(r, 0, "a", "b")
	if g := r.Objects.Get(key("a")).Meta.Generation; g != 2 {
		t.Errorf("the swap was not seen: generation %d", g)
	}
}

func TestAFileThatIsBeingWrittenKeepsItsContent(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/")).write("z.yaml", route("z", "/"))
	past := time.Now().Add(-time.Hour)
	for _, name := range []string{"a.yaml", "z.yaml"} {
		if err := os.Chtimes(filepath.Join(d.path, name), past, past); err != nil {
			t.Fatal(err)
		}
	}
	d.loader.settle = settling{quiet: time.Hour / 2} // no time to wait at all
	before := d.load()
	d.expect(before, 0, "a", "z")
	d.write("a.yaml", "")
	r := d.load()
	d.expect(r, 0, "a", "z")
	if r.Digest != before.Digest {
		t.Error("the digest tells of content that is not in force")
	}
	d.write("a.yaml", "# nothing\n")
	d.loader.settle = defaultSettling
	d.expect(d.load(), 0, "z")
}

// TestAnEmptiedFileIsOneThatWasCutOff is about `generate > a.yaml`: the shell empties the file, and what is to be in it comes later, or never.
func TestAnEmptiedFileIsOneThatWasCutOff(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/1")).write("z.yaml", route("z", "/"))
	before := d.load()
	d.expect(before, 0, "a", "z")
	d.write("a.yaml", "")
	d.loader.settle = settling{emptied: time.Hour}
	r := d.load()
	if d.expect(r, 0, "a", "z"); r.Digest != before.Digest || len(d.loader.unsettled) != 1 {
		t.Error("not left to the next load")
	}
	d.loader.settle = settling{}
	r = d.load()
	if d.expect(r, 1, "a stale", "z"); !strings.Contains(r.Problems[0].String(), "a.yaml: is empty") {
		t.Errorf("problems: %v", r.Problems)
	}
	d.loader.settle = settling{emptied: time.Hour} // is for what is empty, and nothing else
	d.write("a.yaml", route("a", "/2")).write("new.yaml", "")
	d.expect(d.load(), 1, "a", "z")
	d.write("a.yaml", "# nothing\n")
	d.remove("new.yaml")
	d.expect(d.load(), 0, "z")
}

// TestAFileThatGoesAndComesIsNeverMissed is about git checkout and editors, which delete a file before they write it anew.
func TestAFileThatGoesAndComesIsNeverMissed(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/1")).write("z.yaml", route("z", "/"))
	d.expect(d.load(), 0, "a", "z")
	synctest.Test(t, func(t *testing.T) {
		d.loader.settle = settling{gone: time.Hour}
		d.remove("a.yaml")
		loaded := make(chan *Result)
		go func() { loaded <- d.load() }()
		time.Sleep(time.Hour / 2)
		d.write("a.yaml", route("a", "/2"))
		r := <-loaded
		if d.expect(r, 0, "a", "z"); pathOf(t, r, "a") != "/2" {
			t.Errorf("in force: %s", pathOf(t, r, "a"))
		}
		d.remove("a.yaml")
		begun := time.Now()
		d.expect(d.load(), 0, "z")
		if waited := time.Since(begun); waited != time.Hour {
			t.Errorf("waited for %s", waited)
		}
		d.expect(d.load(), 0, "z")
		if waited := time.Since(begun); waited != time.Hour {
			t.Errorf("waited again, until %s", waited)
		}
	})
}

func TestLoadEndsWithItsContext(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.loader.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	d.expect(d.load(), 0, "a")
}

func TestParseRoot(t *testing.T) {
	for _, c := range []struct {
		text string
		want Root
	}{
		{"conf", Root{Path: "conf"}},
		{"/etc/conf:team-a", Root{Path: "/etc/conf", Namespaces: []string{"team-a"}}},
		{"conf:a,b", Root{Path: "conf", Namespaces: []string{"a", "b"}}},
		{"a:b:c", Root{Path: "a:b", Namespaces: []string{"c"}}},
		{"C:conf", Root{Path: "C:conf"}},
		{`C:\conf:team`, Root{Path: `C:\conf`, Namespaces: []string{"team"}}},
		{"./a:b.d", Root{Path: "./a:b.d"}},
		{"a:", Root{Path: "a:"}},
		{"a:b,,c", Root{Path: "a:b,,c"}},
		{":a", Root{Path: ":a"}},
		{"a:Team", Root{Path: "a:Team"}},
	} {
		got := ParseRoot(c.text)
		if got.Path != c.want.Path || !slices.Equal(got.Namespaces, c.want.Namespaces) {
			t.Errorf("%q: %+v", c.text, got)
		}
		if got.String() != c.text {
			t.Errorf("%q prints as %q", c.text, got)
		}
	}
}
