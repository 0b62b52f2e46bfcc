// Certificates that no file has: made up for what annotations and flags ask for, so that they are seen, as cert-manager's are.

package issue

import (
	"crypto/sha256"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/object"
)

// place is the Locator of an object that stands in no file: every field is where what asks for it is.
type place struct{ object.Position }

func (p place) Locate(string) object.Position { return p.Position }

// implied makes the Certificate for what c.Source asks for. It is named after its Secret.
func implied(c *Certificate) *object.Object {
	value := &certmanager.Certificate{Spec: *c.Spec}
	value.Name, value.Namespace, value.Generation = c.Secret.Name, c.Secret.Namespace, 1
	var at object.Position
	if c.Source != nil {
		controller := true
		value.Labels = c.Source.Meta.Labels
		value.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: gatewayv1.GroupVersion.String(), Kind: c.Source.Kind, Name: c.Source.Name, UID: c.Source.Meta.UID,
			Controller: &controller, BlockOwnerDeletion: &controller,
		}}
		at = c.Source.At(c.Field)
	}
	return Made(certificateKind(certmanager.CertificateKind), certmanager.Group+"/v1", value.ObjectMeta, value, at)
}

// Made makes an object that no file has. The value is one of the types of its kind.
func Made(kind object.GroupKind, apiVersion string, meta metav1.ObjectMeta, value any, at object.Position) *object.Object {
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(value)
	if err != nil {
		panic("issue: a value of our own types has no JSON: " + err.Error())
	}
	delete(tree, "status")
	tree["apiVersion"], tree["kind"] = apiVersion, kind.Kind
	if m, ok := tree["metadata"].(map[string]any); ok && m["creationTimestamp"] == nil {
		delete(m, "creationTimestamp")
	}
	text, err := json.Marshal(tree)
	if err != nil {
		panic("issue: a JSON tree cannot be written: " + err.Error())
	}
	return &object.Object{
		GroupKind: kind, Namespace: meta.Namespace, Name: meta.Name,
		Version: "v1", Meta: meta, Value: value, Content: tree, Position: at, Locator: place{at}, Digest: sha256.Sum256(text),
	}
}
