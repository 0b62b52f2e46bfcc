// Golden tests: files in; the certificates that are wanted, and what their authors are told, out.

package issue_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

var update = flag.Bool("update", false, "rewrite what the files of testdata expect")

// TestWanted reads the files of testdata: a comment, perhaps with lines "option: acme-email", "option: local-ca" and "option: wildcards"; in.yaml; then
// "certificates" and "problems" as they come out. Problems of the graph are left out unless they concern certificates.
func TestWanted(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			certificates, problems := outcome(t, archive)
			want := &txtar.Archive{Comment: archive.Comment, Files: []txtar.File{
				archive.Files[0], {Name: "certificates", Data: []byte(certificates)}, {Name: "problems", Data: []byte(problems)},
			}}
			if *update {
				if err := os.WriteFile(path, txtar.Format(want), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got, want := string(txtar.Format(archive)), string(txtar.Format(want)); got != want {
				t.Errorf("%s expects\n%s\nand what comes out is\n%s", path, got, want)
			}
		})
	}
}

func outcome(t *testing.T, archive *txtar.Archive) (certificates, problems string) {
	t.Helper()
	var o issue.Options
	var gatewayOptions gateway.Options
	if strings.Contains(string(archive.Comment), "option: acme-email") {
		o.ACME = &certmanager.ACMEIssuer{Server: "https://acme.example/directory", Email: "ops@example.com"}
		gatewayOptions.Managed = &gateway.ManagedCertificates{Waiting: &gateway.Certificate{Placeholder: "waiting"}}
		gatewayOptions.Managed.Wildcards = strings.Contains(string(archive.Comment), "option: wildcards")
	}
	o.LocalCA = strings.Contains(string(archive.Comment), "option: local-ca")
	objects, found := config.Parse("in.yaml", archive.Files[0].Data)
	set := object.NewSet(objects...)
	plan := issue.Read(set, o)
	graph := gateway.Build(set, gatewayOptions)
	var b strings.Builder
	for _, c := range slices.Concat(plan.Certificates, plan.Managed(graph)) {
		fmt.Fprintf(&b, "%s in %s for %s", c.Object.Key, c.Secret, strings.Join(c.Names(), ", "))
		if c.Issuer != nil {
			fmt.Fprintf(&b, " by %s", c.Issuer.Key)
		}
		if c.Object != c.Source {
			fmt.Fprintf(&b, ", asked for by %s", c.Source.Key)
		}
		if algorithm, size := c.Spec.PrivateKey.Wanted(); c.Spec.PrivateKey != nil {
			fmt.Fprintf(&b, ", key %s %d", algorithm, size)
		}
		if c.Unusable != "" {
			fmt.Fprintf(&b, "; not obtained: %s", c.Unusable)
		}
		if c.Given != nil {
			fmt.Fprintf(&b, "; given")
		}
		b.WriteByte('\n')
	}
	certificates = b.String()
	b.Reset()
	for _, p := range slices.Concat(found, plan.Problems, plan.Review(graph)) {
		b.WriteString(p.String() + "\n")
	}
	for _, p := range graph.Problems {
		if strings.Contains(p.Field, "certificateRefs") {
			b.WriteString("graph: " + p.String() + "\n")
		}
	}
	return certificates, b.String()
}
