// The controllers: Pods for Deployments, EndpointSlices for Services.

package pods

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/wicketgate/wicketgate/conformance/apiserver"
)

// Cluster keeps Pods and EndpointSlices in step with what is in the API server. Start it with Run.
type Cluster struct {
	API     *apiserver.Server
	Program string // echo-basic
	Dir     string // for the files of mounted volumes
	Log     *slog.Logger

	wake    chan struct{}
	mu      sync.Mutex
	running map[apiserver.ID]*container
	next    int // number of the next Pod's address
}

// New returns a cluster that does nothing until Run.
func New(api *apiserver.Server, program, dir string, log *slog.Logger) *Cluster {
	return &Cluster{
		API: api, Program: program, Dir: dir, Log: log,
		wake: make(chan struct{}, 1), running: map[apiserver.ID]*container{}, next: 1,
	}
}

// Changed tells the controllers to look again.
func (c *Cluster) Changed() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends and then stops all Pods.
func (c *Cluster) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, r := range c.running {
				r.stop()
			}
			return
		case <-c.wake:
			if err := c.sync(ctx); err != nil && ctx.Err() == nil {
				c.Log.Error("cluster", "err", err)
			}
		}
	}
}

func (c *Cluster) sync(ctx context.Context) error {
	if err := c.syncPods(ctx); err != nil {
		return err
	}
	return c.syncSlices(ctx)
}

// syncPods creates the Pods that Deployments want, deletes those whose Deployment is gone, and starts what can be started.
func (c *Cluster) syncPods(ctx context.Context) error {
	pods := c.API.Kind("", "Pod")
	wanted := map[apiserver.ID]*corev1.Pod{}
	for _, u := range c.API.List(c.API.Kind("apps", "Deployment"), "") {
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &d); err != nil {
			return err
		}
		replicas := int32(1)
		if d.Spec.Replicas != nil {
			replicas = *d.Spec.Replicas
		}
		for i := range replicas {
			p := podOf(&d, int(i))
			wanted[apiserver.ID{Resource: pods, Namespace: p.Namespace, Name: p.Name}] = p
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, r := range c.running {
		if wanted[id] == nil {
			r.stop()
			delete(c.running, id)
			if err := c.API.Delete(ctx, id); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	for id, p := range wanted {
		if c.running[id] == nil {
			if err := c.start(ctx, id, p); err != nil {
				c.Log.Debug("pod waits", "pod", id.Name, "for", err)
			}
		}
	}
	return nil
}

// podOf is the i-th Pod of a Deployment, named as Kubernetes names it: deployment, hash of the template, hash of the Pod.
func podOf(d *appsv1.Deployment, i int) *corev1.Pod {
	hash := func(s string, n int) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])[:n]
	}
	p := &corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: *d.Spec.Template.Spec.DeepCopy()}
	p.APIVersion, p.Kind = "v1", "Pod"
	p.Namespace = d.Namespace
	p.Name = fmt.Sprintf("%s-%s-%s", d.Name, hash(string(d.UID), 10), hash(fmt.Sprint(d.UID, i), 5))
	return p
}

// syncSlices makes one EndpointSlice for each Service that selects Pods, and deletes those of Services that are gone.
func (c *Cluster) syncSlices(ctx context.Context) error {
	slicesKind := c.API.Kind("discovery.k8s.io", "EndpointSlice")
	wanted := map[apiserver.ID]*discoveryv1.EndpointSlice{}
	for _, u := range c.API.List(c.API.Kind("", "Service"), "") {
		var svc corev1.Service
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &svc); err != nil {
			return err
		}
		if len(svc.Spec.Selector) == 0 {
			continue
		}
		s, err := c.sliceOf(&svc)
		if err != nil {
			return err
		}
		wanted[apiserver.ID{Resource: slicesKind, Namespace: s.Namespace, Name: s.Name}] = s
	}
	for _, u := range c.API.List(slicesKind, "") {
		id := apiserver.ID{Resource: slicesKind, Namespace: u.GetNamespace(), Name: u.GetName()}
		if wanted[id] == nil && u.GetLabels()[discoveryv1.LabelManagedBy] == managedBy {
			if err := c.API.Delete(ctx, id); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	for id, s := range wanted {
		if err := c.put(ctx, id, s); err != nil {
			return err
		}
	}
	return nil
}

const managedBy = "endpointslice-controller.k8s.io"

// sliceOf is the EndpointSlice of a Service: the addresses of the selected Pods that are ready.
func (c *Cluster) sliceOf(svc *corev1.Service) (*discoveryv1.EndpointSlice, error) {
	s := &discoveryv1.EndpointSlice{
		APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice",
		Namespace: svc.Namespace, Name: svc.Name + "-0",
		Labels:      map[string]string{discoveryv1.LabelServiceName: svc.Name, discoveryv1.LabelManagedBy: managedBy},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{},
	}
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		target := p.TargetPort.IntVal
		if p.TargetPort.Type == intstr.String {
			return nil, fmt.Errorf("service %s/%s: named target ports are not needed by the suite and not supported", svc.Namespace, svc.Name)
		}
		if target == 0 {
			target = p.Port
		}
		protocol := p.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &target, Protocol: &protocol, AppProtocol: p.AppProtocol})
	}
	selector := labels.SelectorFromSet(svc.Spec.Selector)
	for _, u := range c.API.List(c.API.Kind("", "Pod"), svc.Namespace) {
		var p corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &p); err != nil {
			return nil, err
		}
		ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		if selector.Matches(labels.Set(p.Labels)) && ready {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{p.Status.PodIP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			})
		}
	}
	return s, nil
}

// put stores a typed object if it differs from what is stored.
func (c *Cluster) put(ctx context.Context, id apiserver.ID, o any) error {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return err
	}
	for _, u := range c.API.List(id.Resource, id.Namespace) {
		if u.GetName() == id.Name && same(u.Object, m) {
			return nil
		}
	}
	return c.API.Put(ctx, id, &unstructured.Unstructured{Object: m})
}
