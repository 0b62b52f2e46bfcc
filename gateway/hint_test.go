// Hints point at what somebody wrote, and not at what the gateway made up until there is a certificate.

package gateway

import (
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/object"
)

func TestHintsLeadToNoPlaceholder(t *testing.T) {
	const text = `apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: elsewhere ANNOTATION}
type: kubernetes.io/tls
data: {tls.crt: "", tls.key: ""}
`
	for annotation, want := range map[string]bool{"": true, ", annotations: {wicketgate.dev/placeholder: no certificate is issued yet}": false} {
		objects, _ := config.Parse("in.yaml", []byte(strings.Replace(text, " ANNOTATION", annotation, 1)))
		if len(objects) != 1 {
			t.Fatalf("%d objects", len(objects))
		}
		b := newBuilder(object.NewSet(objects...), Options{})
		hint := b.hint(keyOf(coreKind("Secret"), "default", "cert"))
		if got := strings.Contains(hint, "elsewhere/cert"); got != want {
			t.Errorf("with %q: %q", annotation, hint)
		}
	}
}
