// Published Services: what a cluster's controller would have created for a Gateway (GEP-1762), as a description of the sockets that are open
// for it. There is one a Gateway with an open socket, with the labels and annotations of its spec.infrastructure. They are computed from what
// is in force when they are asked for, and nothing can refer to them: routes find backends among the objects of the files alone.
//
// Example: Gateway shop/web of class wicketgate, with a listener on port 80 that --port-map 80=8080 binds to 8080, is described by
// Service shop/web-wicketgate of type LoadBalancer: port 80, targetPort 8080, and the Gateway's addresses as its ingress.

package admin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/reconcile"
)

// serviceKind is the kind of what is published.
func serviceKind() object.GroupKind { return object.GroupKind{Kind: "Service"} }

// published describes the Gateways of a view, ordered by key. A Service of the files that has the same name stands in its stead.
func published(v *reconcile.View) []*object.Object {
	ports := map[*gateway.Gateway]map[corev1.ServicePort]bool{}
	for _, s := range v.Graph.Sockets {
		if v.Failed[s.Binding()] != nil {
			continue
		}
		for _, l := range s.Listeners {
			if ports[l.Gateway] == nil {
				ports[l.Gateway] = map[corev1.ServicePort]bool{}
			}
			ports[l.Gateway][servicePort(l, s)] = true
		}
	}
	var list []*object.Object
	for gw, open := range ports {
		o := serviceOf(v, gw, slices.SortedFunc(maps.Keys(open), func(a, b corev1.ServicePort) int { return cmp.Compare(a.Name, b.Name) }))
		if v.Objects().Get(o.Key) == nil {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *object.Object) int { return a.Key.Compare(b.Key) })
	return list
}

// servicePort is a listener's port as a Service has it.
func servicePort(l *gateway.Listener, s *gateway.Socket) corev1.ServicePort {
	protocol := corev1.ProtocolTCP
	if l.Protocol == gatewayv1.UDPProtocolType {
		protocol = corev1.ProtocolUDP
	}
	return corev1.ServicePort{
		Name:     strings.ToLower(string(protocol)) + "-" + strconv.Itoa(int(l.Port)),
		Protocol: protocol, Port: l.Port, TargetPort: intstr.FromInt32(int32(s.Bind.Port())),
	}
}

// serviceOf makes a Gateway's Service.
func serviceOf(v *reconcile.View, gw *gateway.Gateway, ports []corev1.ServicePort) *object.Object {
	owner := gw.Object
	service := &corev1.Service{
		APIVersion: "v1", Kind: "Service",
		Name: serviceName(owner.Name + "-" + gw.Class.Name), Namespace: owner.Namespace,
		Labels: map[string]string{}, Annotations: map[string]string{},
		Spec:   corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: ports},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: ingress(v, gw)}},
	}
	if owner.Meta.UID != "" { // files need not have one, and owners are known by nothing else
		service.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: gatewayv1.GroupVersion.String(), Kind: "Gateway", Name: owner.Name, UID: owner.Meta.UID,
		}}
	}
	if infrastructure := gw.Spec.Spec.Infrastructure; infrastructure != nil {
		for key, value := range infrastructure.Labels {
			service.Labels[string(key)] = string(value)
		}
		for key, value := range infrastructure.Annotations {
			service.Annotations[string(key)] = string(value)
		}
	}
	service.Labels[gatewayv1.GatewayNameLabelKey] = labelValue(owner.Name)
	service.Labels[gatewayv1.GatewayClassNameLabelKey] = labelValue(gw.Class.Name)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(service)
	if err != nil {
		panic("admin: a Service is not JSON: " + err.Error()) // the type is fixed
	}
	return &object.Object{
		GroupKind: serviceKind(), Namespace: service.Namespace, Name: service.Name,
		Version: "v1", Meta: service.ObjectMeta, Value: service, Content: content,
	}
}

// ingress are the addresses of a Gateway's status: those under which it can be reached.
func ingress(v *reconcile.View, gw *gateway.Gateway) (list []corev1.LoadBalancerIngress) {
	addresses, _ := v.Statuses.Get(gw.Object.Key)["addresses"].([]any) // none: no address is reported
	for _, a := range addresses {
		if ip, ok := asTree(a)["value"].(string); ok {
			list = append(list, corev1.LoadBalancerIngress{IP: ip})
		}
	}
	return list
}

// maxName is how long the name of a Service and the value of a label may be.
const maxName = 63

// serviceName makes a name that a Service can have of a Gateway's and its class's, which may have dots.
func serviceName(name string) string {
	if label := strings.ReplaceAll(name, ".", "-"); label != name {
		return shorten(label, name)
	}
	return labelValue(name)
}

// labelValue is a name as the value of a label: as it is, unless it is too long.
func labelValue(name string) string {
	if len(name) <= maxName {
		return name
	}
	return shorten(name, name)
}

// shorten cuts text and adds a digest of what it stands for, which keeps it apart from others.
func shorten(text, original string) string {
	digest := sha256.Sum256([]byte(original))
	const hashed = 8
	return strings.TrimRight(text[:min(len(text), maxName-1-hashed)], "-.") + "-" + hex.EncodeToString(digest[:])[:hashed]
}

// find gives one object of a view, published or of the files.
func find(v *reconcile.View, key object.Key) *object.Object {
	if o := v.Objects().Get(key); o != nil || key.GroupKind != serviceKind() {
		return o
	}
	list := published(v)
	if at := slices.IndexFunc(list, func(o *object.Object) bool { return o.Key == key }); at >= 0 {
		return list[at]
	}
	return nil
}

// all gives the objects of a kind, ordered by key.
func all(v *reconcile.View, k object.GroupKind) []*object.Object {
	list := v.Objects().Kind(k)
	if k != serviceKind() {
		return list
	}
	list = slices.Concat(list, published(v))
	slices.SortStableFunc(list, func(a, b *object.Object) int { return a.Key.Compare(b.Key) })
	return list
}
