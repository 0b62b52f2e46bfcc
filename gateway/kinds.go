// The kinds that Build reads, and how a node finds its objects in the Set.

package gateway

import (
	"cmp"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// DefaultControllerName is "ours" where neither an option nor a GatewayClass names a controller.
const DefaultControllerName gatewayv1.GatewayController = "wicketgate.dev/gateway-controller"

const (
	gatewayGroup      = gatewayv1.GroupName
	experimentGroup   = "gateway.networking.x-k8s.io"
	discoveryGroup    = "discovery.k8s.io"
	certificatesGroup = "certificates.k8s.io"
	certManagerGroup  = "cert-manager.io"
	envoyGroup        = "gateway.envoyproxy.io"
)

// kind, gatewayKind and coreKind make GroupKinds; functions, because variables could be changed.
func kind(group, name string) object.GroupKind { return object.GroupKind{Group: group, Kind: name} }

func gatewayKind(name string) object.GroupKind { return kind(gatewayGroup, name) }
func coreKind(name string) object.GroupKind    { return kind("", name) }

func keyOf(k object.GroupKind, namespace, name string) object.Key {
	return object.Key{GroupKind: k, Namespace: namespace, Name: name}
}

// name is a namespace and a name: what a reference resolves to once its kind is known.
type name struct{ namespace, name string }

func (n name) String() string { return n.namespace + "/" + n.name }

// older orders objects by precedence: dated before undated, then the older, then by namespace/name.
func older(a, b *object.Object) int {
	at, bt := a.Meta.CreationTimestamp, b.Meta.CreationTimestamp
	switch {
	case at.IsZero() != bt.IsZero():
		if bt.IsZero() {
			return -1
		}
		return 1
	case !at.Time.Equal(bt.Time):
		return at.Time.Compare(bt.Time)
	}
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// deref gives what p points to, or def.
func deref[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
