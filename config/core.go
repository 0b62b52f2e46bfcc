// Admission of the kinds that have no CRD. Their defaults and rules are those of an API server as far as they matter to a gateway.

package config

import (
	"maps"
	"reflect"
	"sync"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/envoygateway"
)

// coreShapes are the shapes of the core kinds, by kind.
var coreShapes = sync.OnceValue(func() map[string]*shape {
	shapes := map[string]*shape{}
	for _, k := range Kinds() {
		if k.core {
			shapes[k.Kind] = shapeOf(reflect.TypeOf(k.newValue()))
			if k.Kind == "Secret" {
				shapes[k.Kind].fields["data"].elem.secret = true
				shapes[k.Kind].fields["stringData"].elem.secret = true
			}
		}
	}
	return shapes
})

func coreShape(k *Kind) *shape { return coreShapes()[k.Kind] }

// admitCore defaults and validates an object of a core kind in place. Its metadata was admitted before, and its status is not in the tree.
func admitCore(tree map[string]any, kind *Kind, out *outcome) {
	metadata := tree["metadata"]
	delete(tree, "metadata") // checked already
	refuseFields(kind.Kind, tree, &out.findings)
	coreShape(kind).check(tree, nil, &out.findings)
	tree["metadata"] = metadata
	if out.findings.rejected() {
		return
	}
	value := kind.newValue()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(tree, value); err != nil {
		out.findings.errorf(nil, "%v", err)
		return
	}
	admitValue(value, out)
	if _, ok := value.(*corev1.Namespace); ok {
		metadata.(map[string]any)["labels"] = namespaceLabels(out)
	}
	if out.findings.rejected() {
		return
	}
	completed, err := runtime.DefaultUnstructuredConverter.ToUnstructured(value)
	if err != nil {
		out.findings.errorf(nil, "%v", err)
		return
	}
	completed["apiVersion"], completed["kind"], completed["metadata"] = tree["apiVersion"], tree["kind"], metadata
	delete(completed, "status")
	if spec, ok := completed["spec"].(map[string]any); ok && len(spec) == 0 {
		delete(completed, "spec")
	}
	clear(tree)
	maps.Copy(tree, completed)
}

// admitValue defaults and validates a decoded object by the rules of its kind.
func admitValue(value any, out *outcome) {
	switch v := value.(type) {
	case *corev1.Service:
		admitService(v, &out.findings)
	case *discoveryv1.EndpointSlice:
		admitEndpointSlice(v, &out.findings)
	case *corev1.Secret:
		admitSecret(v, &out.findings)
	case *corev1.ConfigMap:
		admitConfigMap(v, &out.findings)
	case *certificatesv1.ClusterTrustBundle:
		admitTrustBundle(out.meta.Name, &v.Spec, &out.findings)
	case *certmanager.Certificate:
		admitCertificate(&v.Spec, field.NewPath("spec"), &out.findings)
	case *certmanager.Issuer:
		admitIssuer(&v.Spec, field.NewPath("spec"), &out.findings)
	case *envoygateway.Backend:
		admitBackend(&v.Spec, &out.findings)
	}
}

// namespaceLabels gives a Namespace the label that every one has, and returns all of its labels.
func namespaceLabels(out *outcome) map[string]any {
	out.meta.Labels = maps.Clone(out.meta.Labels)
	nameNamespace(&out.meta.Labels, out.meta.Name)
	labels := map[string]any{}
	for k, v := range out.meta.Labels {
		labels[k] = v
	}
	return labels
}

// nameNamespace sets the label that every Namespace has.
func nameNamespace(labels *map[string]string, name string) {
	if *labels == nil {
		*labels = map[string]string{}
	}
	(*labels)[corev1.LabelMetadataName] = name
}

// invalid adds one error for every message that a validation function of Kubernetes returns.
func invalid(f *findings, path *field.Path, value any, messages []string) {
	for _, m := range messages {
		f.errorf(path, "%v: %s", quoted(value), patternHint(value, m))
	}
}

// admitProtocol defaults a port's protocol and checks it.
func admitProtocol(p *corev1.Protocol, path *field.Path, f *findings) {
	switch *p {
	case "":
		*p = corev1.ProtocolTCP
	case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
	default:
		f.add(field.ErrorList{field.NotSupported(path, string(*p), []string{"TCP", "UDP", "SCTP"})})
	}
}

// admitAppProtocol checks a port's application protocol.
func admitAppProtocol(p *string, path *field.Path, f *findings) {
	if p != nil {
		invalid(f, path, *p, validation.IsQualifiedName(*p))
	}
}
