// The objects, and what Kubernetes does to them when they are written: uid, generation, resourceVersion, creationTimestamp.

package apiserver

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
)

// ID names a stored object.
type ID struct {
	Resource        *Resource
	Namespace, Name string
}

// store is safe for concurrent use. What it hands out are copies.
type store struct {
	mu       sync.Mutex
	objects  map[ID]map[string]any
	revision int64
	now      func() time.Time
}

func (s *store) get(id ID) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[id]
	if !ok {
		return nil, notFound(id)
	}
	return &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o)}, nil
}

// list returns the objects of a kind, in a namespace if one is given, ordered by namespace and name.
func (s *store) list(r *Resource, namespace string, selector labels.Selector) []*unstructured.Unstructured {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*unstructured.Unstructured
	for id, o := range s.objects {
		u := unstructured.Unstructured{Object: o}
		if id.Resource == r && (namespace == "" || id.Namespace == namespace) && selector.Matches(labels.Set(u.GetLabels())) {
			all = append(all, &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o)})
		}
	}
	slices.SortFunc(all, func(a, b *unstructured.Unstructured) int {
		return compare2(a.GetNamespace(), b.GetNamespace(), a.GetName(), b.GetName())
	})
	return all
}

func compare2(a1, b1, a2, b2 string) int {
	switch {
	case a1 < b1 || a1 == b1 && a2 < b2:
		return -1
	case a1 == b1 && a2 == b2:
		return 0
	}
	return 1
}

// create stores a new object.
func (s *store) create(id ID, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[id]; ok {
		return nil, apierrors.NewAlreadyExists(groupResource(id), id.Name)
	}
	s.revision++
	o.SetUID(uid(s.revision))
	o.SetGeneration(1)
	o.SetResourceVersion(strconv.FormatInt(s.revision, 10))
	o.SetCreationTimestamp(metav1.NewTime(s.now().Truncate(time.Second)))
	if id.Resource.Status {
		delete(o.Object, "status")
	}
	s.objects[id] = runtime.DeepCopyJSON(o.Object)
	return o, nil
}

// update replaces an object, or its status only. change gets a copy of what is stored and returns what is to be stored.
func (s *store) update(id ID, status bool, change func(*unstructured.Unstructured) (*unstructured.Unstructured, error)) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, ok := s.objects[id]
	if !ok {
		return nil, notFound(id)
	}
	old := unstructured.Unstructured{Object: runtime.DeepCopyJSON(stored)}
	o, err := change(&unstructured.Unstructured{Object: runtime.DeepCopyJSON(stored)})
	if err != nil {
		return nil, err
	}
	if v := o.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(groupResource(id), id.Name, fmt.Errorf("the object has been modified"))
	}
	if status {
		next := runtime.DeepCopyJSON(old.Object)
		next["status"] = o.Object["status"]
		o = &unstructured.Unstructured{Object: next}
	} else {
		keepMetadata(o, &old)
		if id.Resource.Status {
			restore(o.Object, old.Object, "status")
		}
		if !reflect.DeepEqual(content(o.Object), content(old.Object)) {
			o.SetGeneration(old.GetGeneration() + 1)
		}
	}
	s.revision++
	o.SetResourceVersion(strconv.FormatInt(s.revision, 10))
	s.objects[id] = runtime.DeepCopyJSON(o.Object)
	return o, nil
}

func (s *store) delete(id ID) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[id]
	if !ok {
		return nil, notFound(id)
	}
	delete(s.objects, id)
	return &unstructured.Unstructured{Object: o}, nil
}

// keepMetadata sets what a client cannot change.
func keepMetadata(o, old *unstructured.Unstructured) {
	o.SetUID(old.GetUID())
	o.SetGeneration(old.GetGeneration())
	o.SetCreationTimestamp(old.GetCreationTimestamp())
}

// restore copies a field from one object to another, or removes it.
func restore(to, from map[string]any, field string) {
	if v, ok := from[field]; ok {
		to[field] = v
	} else {
		delete(to, field)
	}
}

// content is the part of an object whose change bumps its generation.
func content(o map[string]any) map[string]any {
	c := maps.Clone(o)
	for _, f := range []string{"metadata", "status", "apiVersion", "kind"} {
		delete(c, f)
	}
	return c
}

func groupResource(id ID) k8sschema.GroupResource {
	return k8sschema.GroupResource{Group: id.Resource.Group, Resource: id.Resource.Plural}
}

func notFound(id ID) error { return apierrors.NewNotFound(groupResource(id), id.Name) }

// statusOf is the metav1.Status that an error is answered with.
func statusOf(err error) metav1.Status {
	if s, ok := err.(apierrors.APIStatus); ok {
		st := s.Status()
		st.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		return st
	}
	return metav1.Status{
		Kind: "Status", APIVersion: "v1", Status: metav1.StatusFailure,
		Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: err.Error(),
	}
}
