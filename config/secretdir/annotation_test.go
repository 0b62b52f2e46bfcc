// Secrets that name their directories, and those that may not.

package secretdir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/object"
)

// naming is a set with a Secret that names a directory, as a file has it.
func naming(t *testing.T, dir, more string) *object.Set {
	t.Helper()
	objects, problems := config.Parse("shop.yaml", []byte(`apiVersion: v1
kind: Secret
metadata:
  name: shop-tls
  labels: {team: shop}
  annotations:
    wicketgate.dev/secret-dir: `+dir+"\n"+more))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return object.NewSet(objects...)
}

func TestSecretThatNamesItsDirectory(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "shop.example.com")
	put := func(crt, key string) {
		write(t, filepath.Join(dir, crt), "")
		certificate, private := pair(t)
		write(t, filepath.Join(dir, crt), certificate)
		write(t, filepath.Join(dir, key), private)
	}
	put("fullchain.pem", "privkey.pem")
	r := New(nil, []string{root})
	set := naming(t, dir, "")
	load := func() *object.Object {
		t.Helper()
		secrets, problems := r.Load(set)
		if len(secrets) != 1 || len(problems) != 0 {
			t.Fatalf("%d Secrets, problems: %v", len(secrets), problems)
		}
		return secrets[0]
	}
	first := load()
	s := first.Value.(*corev1.Secret)
	if s.Type != corev1.SecretTypeTLS || s.Data[corev1.TLSCertKey] == nil || s.Labels["team"] != "shop" {
		t.Errorf("type %s, labels %v, %d keys", s.Type, s.Labels, len(s.Data))
	}
	if at := first.At("metadata.annotations"); at.File != "shop.yaml" || at.Line == 0 {
		t.Errorf("it stands at %s", at)
	}
	if load() != first {
		t.Error("a directory that did not change is another object")
	}
	signals := r.Poll(t.Context(), time.Millisecond)
	put("fullchain.pem", "privkey.pem")
	<-signals
	if load() == first {
		t.Error("the renewed certificate is not taken up")
	}
	// An edit that names a directory which is not there leaves what was read in force, as any bad edit does.
	second := load()
	set = naming(t, filepath.Join(root, "nowhere"), "")
	secrets, message := refused(t, r, set)
	if len(secrets) != 1 || secrets[0] != second || !strings.Contains(message, "does not exist; what was read before stays in force") {
		t.Errorf("%v, %s", secrets, message)
	}
	if secrets, problems := r.Load(object.NewSet()); len(secrets)+len(problems) > 0 || len(r.annotated) > 0 {
		t.Error("the Secret is gone, and its directory is still read")
	}
}

func TestSecretsThatMayNotNameADirectory(t *testing.T) {
	root := t.TempDir()
	certificate, key := pair(t)
	inside, outside := filepath.Join(root, "live", "shop"), filepath.Join(root, "live-others", "shop")
	for _, dir := range []string{inside, outside} {
		write(t, filepath.Join(dir, "tls.crt"), certificate)
		write(t, filepath.Join(dir, "tls.key"), key)
	}
	allowed := []string{filepath.Join(root, "live")}
	for name, c := range map[string]struct {
		dir, more string
		roots     []string
		confined  bool
		want      string
	}{
		"below the root":      {dir: inside, roots: allowed},
		"the root itself":     {dir: inside, roots: []string{inside}},
		"no root":             {dir: inside, want: "give --secret-root, such as --secret-root " + filepath.Dir(inside)},
		"beside the root":     {dir: outside, roots: allowed, want: "is not below " + allowed[0]},
		"out of the root":     {dir: allowed[0] + "/../live-others/shop", roots: allowed, want: "is not below"},
		"relative":            {dir: "live/shop", roots: allowed, want: `"live/shop" is no absolute path`},
		"keys of its own":     {dir: inside, more: "stringData: {a: b}\n", roots: allowed, want: "has keys of its own"},
		"a confined author":   {dir: inside, roots: allowed, confined: true, want: "--secret default/shop-tls=DIR"},
		"nothing is in there": {dir: filepath.Join(allowed[0], "none"), roots: allowed, want: "does not exist"},
	} {
		set := naming(t, c.dir, c.more)
		o := *set.Get(object.Key{Kind: "Secret", Namespace: "default", Name: "shop-tls"})
		o.Confined = c.confined
		secrets, problems := New(nil, c.roots).Load(object.NewSet(&o))
		if c.want == "" {
			if len(secrets) != 1 || len(problems) > 0 {
				t.Errorf("%s: %v", name, problems)
			}
			continue
		}
		if len(secrets) > 0 || len(problems) != 1 || problems[0].Severity != object.Error || !strings.Contains(problems[0].Message, c.want) {
			t.Errorf("%s: %d Secrets, %v, want %q", name, len(secrets), problems, c.want)
		}
	}
}

func TestExposedKeyOfANamedDirectory(t *testing.T) {
	root := t.TempDir()
	certificate, key := pair(t)
	write(t, filepath.Join(root, "tls.crt"), certificate)
	write(t, filepath.Join(root, "tls.key"), key)
	if err := os.Chmod(filepath.Join(root, "tls.key"), 0o644); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(root, "tls.key")); err != nil || info.Mode().Perm()&0o004 == 0 {
		t.Skip("permissions say nothing here")
	}
	secrets, message := refused(t, New(nil, []string{root}), naming(t, root, ""))
	if len(secrets) != 1 || !strings.Contains(message, "everybody on this machine may read") {
		t.Errorf("%v, %s", secrets, message)
	}
}
