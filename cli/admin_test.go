// The administrative interface over TLS, from the outside: the flags of run, and those of get and health.

package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned writes a certificate for 127.0.0.1, which is an authority too, and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestAdminOverTLS(t *testing.T) {
	cert, key := selfSigned(t)
	dir, address := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	if err := os.WriteFile(filepath.Join(dir, "gateway.yaml"), []byte(gatewayYAML(freePort(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &output{}
	cmd := exec.Command(binary, "run", "--config", dir, "--admin", address, "--admin-tls-cert", cert, "--admin-tls-key", key, "--admin-tls-client-ca", cert)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
	}()
	shown := []string{"--admin", address, "--admin-ca", cert, "--admin-cert", cert, "--admin-key", key}
	eventually(t, "health says that it is ready", func() bool {
		_, _, code := program(t, append([]string{"health"}, shown...)...)
		return code == 0
	})
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{append([]string{"get", "gateways"}, shown...), 0, "PROGRAMMED", ""},
		{[]string{"health", "--admin", "https://" + address, "--admin-ca", cert}, 0, "ok", ""},
		{[]string{"get", "gateways", "--admin", address, "--admin-ca", cert}, 1, "", "--admin-cert"},
		{[]string{"get", "gateways", "--admin", "https://" + address}, 1, "", "certificate signed by unknown authority"},
		{[]string{"get", "gateways", "--admin", address}, 1, "", "it speaks TLS: give --admin-ca"},
		{[]string{"get", "gateways", "--admin", address, "--admin-ca", key}, 1, "", "there is no certificate"},
	} {
		stdout, stderr, code := program(t, c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%q: %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
}
