// Admission of Services.

package config

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// admitService defaults and validates a Service. What only a cluster's network acts on (IP families, traffic policies, node ports) is
// taken as it comes.
func admitService(s *corev1.Service, f *findings) {
	spec, path := &s.Spec, field.NewPath("spec")
	if spec.Type == "" {
		spec.Type = corev1.ServiceTypeClusterIP
	}
	if spec.SessionAffinity == "" {
		spec.SessionAffinity = corev1.ServiceAffinityNone
	}
	switch spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
	case corev1.ServiceTypeExternalName:
		admitExternalName(s, path, f)
	default:
		f.add(field.ErrorList{field.NotSupported(path.Child("type"), string(spec.Type), []string{"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"})})
	}
	switch spec.SessionAffinity {
	case corev1.ServiceAffinityNone, corev1.ServiceAffinityClientIP:
	default:
		f.add(field.ErrorList{field.NotSupported(path.Child("sessionAffinity"), string(spec.SessionAffinity), []string{"None", "ClientIP"})})
	}
	f.add(metav1validation.ValidateLabels(spec.Selector, path.Child("selector")))
	headless := spec.ClusterIP == corev1.ClusterIPNone
	if len(spec.Ports) == 0 && !headless && spec.Type != corev1.ServiceTypeExternalName {
		f.errorf(path.Child("ports"), "is required")
	}
	if spec.ClusterIP != "" && !headless {
		f.add(validation.IsValidIP(path.Child("clusterIP"), spec.ClusterIP))
	}
	admitServicePorts(spec, path.Child("ports"), f)
}

// admitExternalName checks the name that an ExternalName Service stands for.
func admitExternalName(s *corev1.Service, path *field.Path, f *findings) {
	name := strings.TrimSuffix(s.Spec.ExternalName, ".")
	if name == "" {
		f.errorf(path.Child("externalName"), "is required where type is ExternalName")
		return
	}
	invalid(f, path.Child("externalName"), name, validation.IsDNS1123Subdomain(name))
}

// admitServicePorts defaults and validates the ports of a Service, each alone and against each other.
func admitServicePorts(spec *corev1.ServiceSpec, path *field.Path, f *findings) {
	names, ports := map[string]int{}, map[string]int{}
	for i := range spec.Ports {
		p, at := &spec.Ports[i], path.Index(i)
		if p.TargetPort == (intstr.IntOrString{}) {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
		admitProtocol(&p.Protocol, at.Child("protocol"), f)
		admitAppProtocol(p.AppProtocol, at.Child("appProtocol"), f)
		if p.Port == 0 {
			f.errorf(at.Child("port"), "is required: a number between 1 and 65535")
		} else {
			invalid(f, at.Child("port"), p.Port, validation.IsValidPortNum(int(p.Port)))
			admitTargetPort(p.TargetPort, at.Child("targetPort"), f)
		}
		switch {
		case p.Name == "" && len(spec.Ports) > 1:
			f.errorf(at.Child("name"), "is required where a Service has several ports")
		case p.Name != "":
			invalid(f, at.Child("name"), p.Name, validation.IsDNS1123Label(p.Name))
			once(names, p.Name, i, at.Child("name"), f)
		}
		once(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol), i, at.Child("port"), f)
	}
}

// admitTargetPort checks a number or a name of a port.
func admitTargetPort(p intstr.IntOrString, path *field.Path, f *findings) {
	if p.Type == intstr.Int {
		invalid(f, path, p.IntVal, validation.IsValidPortNum(int(p.IntVal)))
		return
	}
	invalid(f, path, p.StrVal, validation.IsValidPortName(p.StrVal))
}

// once reports a value that an earlier item of the list has, too.
func once(seen map[string]int, value string, i int, path *field.Path, f *findings) {
	if first, ok := seen[value]; ok {
		f.errorf(path, "%q is given twice: item %d has it, too", value, first)
		return
	}
	seen[value] = i
}
