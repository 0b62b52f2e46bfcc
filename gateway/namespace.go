// Namespaces: their labels, and which of them a listener admits routes from.

package gateway

import (
	"errors"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// nameLabel is on every namespace, as Kubernetes puts it there.
const nameLabel = "kubernetes.io/metadata.name"

// namespaceLabels holds the labels of the Namespace objects, nil for those that admission has refused; every other namespace exists implicitly with
// its name label alone.
type namespaceLabels map[string]labels.Set

func indexNamespaces(set *object.Set) namespaceLabels {
	index := namespaceLabels{}
	for _, o := range set.Kind(coreKind("Namespace")) {
		all := labels.Set{}
		maps.Copy(all, o.Meta.Labels)
		all[nameLabel] = o.Name
		index[o.Name] = all
	}
	for _, r := range set.Refused(coreKind("Namespace")) {
		index[r.Name] = nil
	}
	return index
}

// of gives the labels of a namespace. They are not complete where its Namespace was refused.
func (n namespaceLabels) of(namespace string) (all labels.Set, complete bool) {
	all, defined := n[namespace]
	if all == nil {
		all = labels.Set{nameLabel: namespace}
		return all, !defined
	}
	return all, true
}

// match matches a selector. What nobody knows of a namespace is not taken for absent.
func (n namespaceLabels) match(s labels.Selector, namespace string) bool {
	all, complete := n.of(namespace)
	return (complete || onlyByName(s)) && s.Matches(all)
}

// namespaceFilter is a listener's allowedRoutes.namespaces or a Gateway's allowedListeners.namespaces.
type namespaceFilter struct {
	from     gatewayv1.FromNamespaces
	own      string // the namespace of the object that has it
	selector labels.Selector
	labels   namespaceLabels
	memo     map[string]bool // nil: it is shared, and nothing is remembered
}

// errNoSelector is for from: Selector without one.
var errNoSelector = errors.New(`selector is required where from is "Selector"`)

// newNamespaceFilter reads allowedRoutes.namespaces; an error means that no namespace can be admitted.
func newNamespaceFilter(spec *gatewayv1.RouteNamespaces, own string, index namespaceLabels) (*namespaceFilter, error) {
	f := &namespaceFilter{from: gatewayv1.NamespacesFromSame, own: own, labels: index, selector: labels.Nothing()}
	if spec == nil {
		return f, nil
	}
	f.from = deref(spec.From, gatewayv1.NamespacesFromSame)
	switch f.from {
	case gatewayv1.NamespacesFromAll, gatewayv1.NamespacesFromSame, gatewayv1.NamespacesFromNone:
		return f, nil
	case gatewayv1.NamespacesFromSelector:
		if spec.Selector == nil {
			return f, errNoSelector
		}
		selector, err := metav1.LabelSelectorAsSelector(spec.Selector)
		if err != nil {
			return f, err
		}
		f.selector, f.memo = selector, map[string]bool{}
		return f, nil
	}
	return f, errors.New(`from: "` + string(f.from) + `" is not known: use All, Same or Selector`)
}

// admits says whether routes or ListenerSets of a namespace may attach.
func (f *namespaceFilter) admits(namespace string) bool {
	switch f.from {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return namespace == f.own
	case gatewayv1.NamespacesFromSelector:
		admitted, known := f.memo[namespace]
		if known {
			return admitted
		}
		admitted = f.labels.match(f.selector, namespace)
		if f.memo != nil {
			f.memo[namespace] = admitted
		}
		return admitted
	}
	return false
}

// refusal says why routes of a namespace may not attach, and what would change that. The labels are the route's own: a
// common mistake is to put the namespace's label on the route.
func (f *namespaceFilter) refusal(namespace string, route map[string]string) string {
	_, complete := f.labels.of(namespace)
	switch {
	case f.from == gatewayv1.NamespacesFromSelector && !complete:
		return "its selector (" + f.selector.String() + ") looks at labels, and Namespace " + namespace + refusedMessage
	case f.from == gatewayv1.NamespacesFromSelector && f.selector.Matches(labels.Set(route)):
		return "its selector (" + f.selector.String() + ") is matched against the labels of the Namespace, not of the route: label a Namespace " +
			namespace + " with them"
	case f.from == gatewayv1.NamespacesFromSelector:
		return "its selector (" + f.selector.String() + ") does not match the labels of namespace " + namespace
	}
	return "it allows routes of namespace " + f.own + " only: set allowedRoutes.namespaces.from to All, or use a selector"
}
