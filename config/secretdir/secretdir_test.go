// Directories as certbot, step and Kubernetes keep them, and what becomes of them while they are rotated.

package secretdir

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/object"
)

// pair makes a certificate and its key, in PEM.
func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// link makes or turns a symbolic link in one step.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name+".new"); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// reader is a Reader of one directory, Secret default/shop-tls.
func reader(dir string) *Reader {
	return New([]Source{{Namespace: "default", Name: "shop-tls", Dir: dir}}, nil)
}

// one loads a Reader that must give one Secret and no problem.
func one(t *testing.T, r *Reader) (*object.Object, *corev1.Secret) {
	t.Helper()
	secrets, problems := r.Load(object.NewSet())
	if len(secrets) != 1 || len(problems) != 0 {
		t.Fatalf("%d Secrets, problems: %v", len(secrets), problems)
	}
	return secrets[0], secrets[0].Value.(*corev1.Secret)
}

// refused loads a Reader that must report exactly one problem, and returns its message.
func refused(t *testing.T, r *Reader, set *object.Set) (secrets []*object.Object, message string) {
	t.Helper()
	secrets, problems := r.Load(set)
	if len(problems) != 1 {
		t.Fatalf("problems: %v", problems)
	}
	return secrets, problems[0].Message
}

func TestFilesAreTheKeysOfASecret(t *testing.T) {
	dir := t.TempDir()
	certificate, key := pair(t)
	write(t, filepath.Join(dir, "tls.crt"), certificate)
	write(t, filepath.Join(dir, "tls.key"), key)
	write(t, filepath.Join(dir, "ca.crt"), certificate)
	write(t, filepath.Join(dir, ".hidden"), "no key")
	r := reader(dir)
	o, s := one(t, r)
	if s.Type != corev1.SecretTypeTLS || len(s.Data) != 3 || string(s.Data["ca.crt"]) != certificate {
		t.Errorf("type %s, %d keys", s.Type, len(s.Data))
	}
	if o.Key.String() != "Secret default/shop-tls" || o.At("data").File != dir {
		t.Errorf("%s at %s", o.Key, o.At("data"))
	}
	if again, _ := one(t, r); again != o {
		t.Error("a directory that did not change is another object")
	}
}

func TestCertbotsDirectoryIsFollowedLinkByLink(t *testing.T) {
	base := t.TempDir()
	archive, live := filepath.Join(base, "archive"), filepath.Join(base, "live")
	put := func(n string) {
		certificate, key := pair(t)
		write(t, filepath.Join(archive, "fullchain"+n+".pem"), certificate)
		write(t, filepath.Join(archive, "privkey"+n+".pem"), key)
	}
	put("1")
	write(t, filepath.Join(live, "README"), "This directory contains your keys.")
	link(t, "../archive/fullchain1.pem", filepath.Join(live, "fullchain.pem"))
	link(t, "../archive/privkey1.pem", filepath.Join(live, "privkey.pem"))
	r := reader(live)
	before, s := one(t, r)
	if s.Type != corev1.SecretTypeTLS || s.Data["tls.crt"] == nil || s.Data["tls.key"] == nil {
		t.Fatalf("type %s", s.Type)
	}

	put("2")
	link(t, "../archive/fullchain2.pem", filepath.Join(live, "fullchain.pem"))
	if !r.differs() {
		t.Error("a link that was turned is not noticed")
	}
	secrets, message := refused(t, r, object.NewSet())
	if len(secrets) != 1 || secrets[0] != before || !strings.Contains(message, "fullchain.pem and privkey.pem") || !strings.Contains(message, "stays in force") {
		t.Errorf("while one link is turned: %v, %s", secrets, message)
	}
	link(t, "../archive/privkey2.pem", filepath.Join(live, "privkey.pem"))
	if after, _ := one(t, r); after == before {
		t.Error("the renewed certificate is not taken up")
	}
	if r.differs() {
		t.Error("what was loaded is said to differ")
	}
}

func TestMountedSecretIsReadAsOneGeneration(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"..1", "..2"} {
		certificate, key := pair(t)
		write(t, filepath.Join(dir, n, "tls.crt"), certificate)
		write(t, filepath.Join(dir, n, "tls.key"), key)
	}
	link(t, "..1", filepath.Join(dir, "..data"))
	link(t, "..data/tls.crt", filepath.Join(dir, "tls.crt"))
	link(t, "..data/tls.key", filepath.Join(dir, "tls.key"))
	r := reader(dir)
	before, _ := one(t, r)
	link(t, "..2", filepath.Join(dir, "..data"))
	after, s := one(t, r)
	if after == before || len(s.Data) != 2 {
		t.Errorf("after the swap: the same object: %v, keys: %d", after == before, len(s.Data))
	}
}

func TestOtherSecretsAreOpaque(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "api-token"), "secret")
	if _, s := one(t, reader(dir)); s.Type != corev1.SecretTypeOpaque || string(s.Data["api-token"]) != "secret" {
		t.Errorf("%v", s)
	}
}

func TestWhatIsWrongWithADirectoryIsSaid(t *testing.T) {
	certificate, key := pair(t)
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing in it":     {map[string]string{".x": ""}, "holds no file"},
		"no key":            {map[string]string{"fullchain.pem": certificate}, "tls.key (or privkey.pem), and the other is missing"},
		"no certificate":    {map[string]string{"tls.key": key}, "has one of tls.crt (or fullchain.pem) and tls.key"},
		"not a certificate": {map[string]string{"tls.crt": "hello", "tls.key": key}, "not a usable certificate and key"},
		"too large":         {map[string]string{"big": strings.Repeat("x", corev1.MaxSecretSize+1)}, "larger than 1024 KiB"},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			write(t, filepath.Join(dir, file), text)
		}
		secrets, message := refused(t, reader(dir), object.NewSet())
		if len(secrets) != 0 || !strings.Contains(message, c.want) {
			t.Errorf("%s: %v, %q, want %q", name, secrets, message, c.want)
		}
	}
	dir := filepath.Join(t.TempDir(), "later")
	r := reader(dir)
	if _, message := refused(t, r, object.NewSet()); message != "does not exist" {
		t.Error(message)
	}
	write(t, filepath.Join(dir, "tls.crt"), certificate)
	write(t, filepath.Join(dir, "tls.key"), key)
	before, _ := one(t, r)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if secrets, _ := refused(t, r, object.NewSet()); len(secrets) != 1 || secrets[0] != before {
		t.Error("a directory that vanishes takes its Secret away")
	}
}

func TestSecretOfAFileWins(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "secret")
	objects, _ := config.Parse("shop.yaml", []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls}\n"))
	secrets, message := refused(t, reader(dir), object.NewSet(objects...))
	if len(secrets) != 0 || !strings.Contains(message, "given in shop.yaml:") {
		t.Errorf("%v, %s", secrets, message)
	}
}

func TestKeyThatEverybodyMayReadIsAWarning(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions say nothing here")
	}
	dir := t.TempDir()
	certificate, key := pair(t)
	write(t, filepath.Join(dir, "tls.crt"), certificate)
	write(t, filepath.Join(dir, "tls.key"), key)
	r := reader(dir)
	one(t, r)
	if err := os.Chmod(filepath.Join(dir, "tls.key"), 0o644); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "tls.crt"), 0o644); err != nil { //nolint:gosec // certificates are public
		t.Fatal(err)
	}
	secrets, message := refused(t, r, object.NewSet())
	if len(secrets) != 1 || !strings.HasPrefix(message, "tls.key is a private key that everybody") {
		t.Errorf("%v, %s", secrets, message)
	}
}

func TestPollSignalsChanges(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "1")
	r := reader(dir)
	one(t, r)
	signals := r.Poll(t.Context(), time.Millisecond)
	write(t, filepath.Join(dir, "token"), "2")
	<-signals
	if never := New(nil, nil).Poll(context.Background(), time.Millisecond); len(never) != 0 {
		t.Error("a Reader of nothing signals")
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Source{
		"shop/shop-tls=/etc/tls": {"shop", "shop-tls", "/etc/tls"},
		"shop-tls=./a=b":         {"default", "shop-tls", "./a=b"},
		"shop-tls":               {},
		"shop-tls=":              {},
		"Shop/tls=/x":            {},
		"shop/a_b=/x":            {},
	} {
		got, err := Parse(text)
		if (err == nil) != (want != Source{}) || err == nil && got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}
