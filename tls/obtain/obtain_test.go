// The engine with issuers that need nobody else, in fake time. What needs an ACME server is in ../pebbletest.

package obtain

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// world is an engine and what it is asked for.
type world struct {
	t       *testing.T
	engine  *Engine
	options issue.Options
	set     *object.Set
	plan    *issue.Plan
}

func newWorld(t *testing.T, storage Storage, yaml string) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	w.engine, err = New(Options{
		Storage: storage, Changed: func(bool) {}, Metrics: prometheus.NewRegistry(),
		Dial: func(context.Context, netip.AddrPort, bool) (net.Conn, error) {
			return nil, errors.New("no network here")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.want(yaml)
	return w
}

// want does what a run of the reload loop does.
func (w *world) want(yaml string) {
	w.t.Helper()
	objects, problems := config.Parse("in.yaml", []byte(yaml))
	for _, p := range problems {
		if p.Severity == object.Error {
			w.t.Fatal(p)
		}
	}
	files := object.NewSet(objects...)
	w.plan = issue.Read(files, w.options)
	w.set = files.With(w.engine.Load(w.t.Context(), w.plan), nil)
	w.engine.Want(w.plan, gateway.Build(w.set, gateway.Options{}))
}

// run lets the engine work until the end of the test, which is in fake time.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	go w.engine.Run(ctx)
	return func() {
		cancel()
		synctest.Wait()
	}
}

// secret is what Build would see of a Secret of namespace default.
func (w *world) secret(name string) *corev1.Secret {
	w.t.Helper()
	set := object.NewSet(w.engine.Load(w.t.Context(), w.plan)...)
	o := set.Get(object.Key{Kind: "Secret", Namespace: "default", Name: name})
	if o == nil {
		return nil
	}
	return o.Value.(*corev1.Secret)
}

func (w *world) leaf(name string) *x509.Certificate {
	w.t.Helper()
	s := w.secret(name)
	if s == nil {
		w.t.Fatalf("there is no Secret %s", name)
	}
	block, _ := pem.Decode(s.Data[corev1.TLSCertKey])
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	return leaf
}

// ready gives status and message of the condition Ready.
func (w *world) ready(kind, name string) (status, message string) {
	for _, r := range w.engine.Reports() {
		if r.Object.Kind == kind && r.Object.Name == name {
			return string(r.Conditions[0].Status), r.Conditions[0].Message
		}
	}
	return "", ""
}

const chainYAML = `apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: shop}
spec: {secretName: shop-tls, dnsNames: [shop.example], duration: 24h, issuerRef: {name: ca}, secretTemplate: {labels: {team: shop}}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca}
spec: {ca: {secretName: root-key}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: root}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: root}
spec: {secretName: root-key, commonName: my-root, isCA: true, duration: 87600h, issuerRef: {name: root}}
`

func TestAuthorityOfFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, chainYAML)
		if why := w.secret("shop-tls").Annotations[gateway.PlaceholderAnnotation]; why != "Certificate default/shop is not issued yet" {
			t.Errorf("the placeholder says %q", why)
		}
		stop := w.run()
		defer stop()
		synctest.Wait() // the authority makes the others due again, in whatever order they were tried
		s := w.secret("shop-tls")
		if s.Annotations[gateway.PlaceholderAnnotation] != "" || s.Labels["team"] != "shop" {
			t.Errorf("the Secret has annotations %v and labels %v", s.Annotations, s.Labels)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(s.Data["ca.crt"])
		if _, err := w.leaf("shop-tls").Verify(x509.VerifyOptions{Roots: roots, DNSName: "shop.example"}); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"shop", "root"} {
			if status, message := w.ready("Certificate", name); status != "True" {
				t.Errorf("%s: %s %s", name, status, message)
			}
		}
	})
}

func TestRenewalBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, chainYAML)
		defer w.run()()
		synctest.Wait()
		first := w.leaf("shop-tls")
		time.Sleep(14 * time.Hour)
		synctest.Wait()
		if w.leaf("shop-tls").SerialNumber.Cmp(first.SerialNumber) != 0 {
			t.Error("renewed with more than a third of the validity left")
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if leaf := w.leaf("shop-tls"); leaf.SerialNumber.Cmp(first.SerialNumber) == 0 {
			t.Errorf("not renewed %v before its end", time.Until(leaf.NotAfter))
		}
	})
}

func TestChangeOfWhatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, chainYAML)
		defer w.run()()
		synctest.Wait()
		first := w.leaf("shop-tls")
		w.want(chainYAML)
		synctest.Wait()
		if w.leaf("shop-tls").SerialNumber.Cmp(first.SerialNumber) != 0 {
			t.Error("a reload without a change made another certificate")
		}
		w.want(strings.Replace(chainYAML, "[shop.example]", "[shop.example, www.shop.example]", 1))
		synctest.Wait()
		if err := w.leaf("shop-tls").VerifyHostname("www.shop.example"); err != nil {
			t.Error(err)
		}
	})
}

func TestMissingAuthorityIsTriedAgainAfterAnEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after, _ := strings.Cut(chainYAML, "---\napiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: root}")
		w := newWorld(t, nil, before)
		defer w.run()()
		synctest.Wait()
		status, message := w.ready("Certificate", "shop")
		if status != "False" || !strings.Contains(message, "Secret default/root-key") || !strings.Contains(message, "next attempt") {
			t.Errorf("%s: %s", status, message)
		}
		if status, message := w.ready("Issuer", "ca"); status != "False" || !strings.Contains(message, "root-key") {
			t.Errorf("the issuer: %s: %s", status, message)
		}
		w.want(before + "---\napiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: root}" + after)
		synctest.Wait()
		if status, message := w.ready("Certificate", "shop"); status != "True" {
			t.Errorf("%s: %s", status, message)
		}
	})
}

func TestCertificatesOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, NewFileStorage(dir), chainYAML)
		stop := w.run()
		// File locks are polled in fake time.
		time.Sleep(time.Minute)
		synctest.Wait()
		first := w.leaf("shop-tls")
		stop()
		time.Sleep(time.Minute) // a lock's goroutine looks once more whether it is still wanted
		again := newWorld(t, NewFileStorage(dir), chainYAML)
		if again.leaf("shop-tls").SerialNumber.Cmp(first.SerialNumber) != 0 || again.secret("shop-tls").Annotations[gateway.PlaceholderAnnotation] != "" {
			t.Error("after a restart the certificate is another")
		}
	})
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && path != dir {
			t.Errorf("%s can be read by others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesSecretIsLeftAlone(t *testing.T) {
	w := newWorld(t, nil, chainYAML+"---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls}\nstringData: {tls.crt: x}\n")
	if s := w.secret("shop-tls"); s != nil {
		t.Error("there is a Secret beside that of the files")
	}
	if status, message := w.ready("Certificate", "shop"); status != "False" || !strings.Contains(message, "is given in in.yaml") {
		t.Errorf("%s: %s", status, message)
	}
}

func TestLocalAuthorityIsMadeOnce(t *testing.T) {
	storage := newMemory()
	one, err := LocalRoot(t.Context(), storage)
	if err != nil {
		t.Fatal(err)
	}
	two, err := LocalRoot(t.Context(), storage)
	if err != nil || one != two {
		t.Errorf("another root the second time: %v", err)
	}
}

func TestUnusableStoredCertificateIsObtainedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newMemory()
		if err := storage.Store(t.Context(), certificatePath("secret/default/shop-tls"), []byte("{half a file")); err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, storage, chainYAML)
		defer w.run()()
		synctest.Wait()
		if status, message := w.ready("Certificate", "shop"); status != "True" {
			t.Errorf("%s: %s", status, message)
		}
	})
}
