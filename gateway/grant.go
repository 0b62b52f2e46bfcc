// ReferenceGrants: which references may cross a namespace boundary.

package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// grants is the index of all ReferenceGrants, by everything but the name of what may be referenced.
type grants map[grantKey]grantedNames

// grantKey is one pairing of a From and a To entry of a grant.
type grantKey struct {
	from          object.GroupKind
	fromNamespace string
	to            object.GroupKind
	toNamespace   string
}

// grantedNames are the names that may be referenced; all stands for every one.
type grantedNames struct {
	all   bool
	names map[string]bool
}

// indexGrants reads all ReferenceGrants. Grants only ever add up, so their order does not matter.
func indexGrants(set *object.Set) grants {
	index := grants{}
	for _, o := range typed[*gatewayv1.ReferenceGrant](set, gatewayKind("ReferenceGrant")) {
		for _, from := range o.value.Spec.From {
			for _, to := range o.value.Spec.To {
				key := grantKey{
					kind(string(from.Group), string(from.Kind)), string(from.Namespace),
					kind(string(to.Group), string(to.Kind)), o.object.Namespace,
				}
				granted := index[key]
				// An empty name is not a name that an object can have; like an absent one it stands for all.
				if named := deref(to.Name, ""); named == "" {
					granted.all = true
				} else {
					if granted.names == nil {
						granted.names = map[string]bool{}
					}
					granted.names[string(named)] = true
				}
				index[key] = granted
			}
		}
	}
	return index
}

// permits says whether an object of kind from in fromNamespace may refer to the object at target. Within one namespace it always may.
func (g grants) permits(from object.GroupKind, fromNamespace string, target object.Key) bool {
	if fromNamespace == target.Namespace {
		return true
	}
	granted := g[grantKey{from, fromNamespace, target.GroupKind, target.Namespace}]
	return granted.all || granted.names[target.Name]
}

// notPermitted is the message for a reference without a grant. It says nothing about whether the target exists: that is what the grant protects.
func notPermitted(from object.GroupKind, fromNamespace string, target object.Key) string {
	return target.String() + " is in another namespace, and no ReferenceGrant in " + target.Namespace +
		" permits " + from.Kind + "s of " + fromNamespace + " to refer to it"
}
