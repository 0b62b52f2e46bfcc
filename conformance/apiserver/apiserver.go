// Package apiserver is a test-only, in-memory Kubernetes API server: as much of one as the Gateway API conformance suite talks to.
//
// It does what Kubernetes does and nothing of what a gateway does: it stores objects, defaults them by their CRDs' schemas, counts
// generations, and deletes what is in a deleted namespace. Whatever a gateway or a kubelet has to say comes from the two
// seams in Options.
package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// Options are the seams.
type Options struct {
	// CRDs holds the Gateway API's CustomResourceDefinitions.
	CRDs fs.FS
	// Changed is called after each write with the object as it is stored now, nil if it was deleted. The write's answer waits for it. Calls are
	// made by the goroutines that write, concurrently.
	Changed func(ctx context.Context, id ID, object *unstructured.Unstructured) error
	// Status gives the status that a gateway reports for an object now, or false if it reports none and the stored one holds.
	Status func(ctx context.Context, id ID) (map[string]any, bool, error)
	// Extra gives further objects of a kind, which others publish.
	Extra func(ctx context.Context, r *Resource, namespace string) ([]*unstructured.Unstructured, error)
	// Logs gives the lines that a Pod wrote since a time.
	Logs func(namespace, name string, since time.Time) (string, error)
}

// Server is an http.Handler. Create it with New.
type Server struct {
	Options
	resources []*Resource
	store     store
}

// New returns a server that holds the CRDs and nothing else.
func New(o Options) (*Server, error) {
	resources, crds, err := Resources(o.CRDs)
	if err != nil {
		return nil, err
	}
	s := &Server{Options: o, resources: resources, store: store{objects: map[ID]map[string]any{}, now: time.Now}}
	for _, crd := range crds {
		u := &unstructured.Unstructured{Object: crd}
		if _, err := s.store.create(ID{s.Kind("apiextensions.k8s.io", "CustomResourceDefinition"), "", u.GetName()}, u); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Kind returns the resource of a kind, or nil.
func (s *Server) Kind(group, kind string) *Resource {
	for _, r := range s.resources {
		if r.Group == group && r.Kind == kind {
			return r
		}
	}
	return nil
}

// List returns the stored objects of a kind, in a namespace if one is given.
func (s *Server) List(r *Resource, namespace string) []*unstructured.Unstructured {
	return s.store.list(r, namespace, labels.Everything())
}

// Put creates an object or replaces it, status included: the way in for those who play the kubelet and its controllers.
func (s *Server) Put(ctx context.Context, id ID, o *unstructured.Unstructured) error {
	stored, err := s.store.create(id, o.DeepCopy())
	if apierrors.IsAlreadyExists(err) {
		stored, err = s.store.update(id, false, func(old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			next := o.DeepCopy()
			next.SetResourceVersion(old.GetResourceVersion())
			return next, nil
		})
	}
	if err != nil {
		return err
	}
	return s.Changed(ctx, id, stored)
}

// Delete removes an object, and all that is in it if it is a namespace.
func (s *Server) Delete(ctx context.Context, id ID) error {
	if _, err := s.store.delete(id); err != nil {
		return err
	}
	err := s.Changed(ctx, id, nil)
	if id.Resource.Kind == "Namespace" && id.Resource.Group == "" {
		for _, r := range s.resources {
			for _, o := range s.List(r, id.Name) {
				if !r.Namespaced {
					continue
				}
				if e := s.Delete(ctx, ID{r, id.Name, o.GetName()}); !apierrors.IsNotFound(e) {
					err = errors.Join(err, e)
				}
			}
		}
	}
	return err
}

func uid(n int64) types.UID { return types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)) }

// request is a parsed request for a resource.
type request struct {
	*http.Request
	id          ID
	version     string
	subresource string
}

// ServeHTTP serves discovery and the resources.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if answer := s.discover(strings.TrimSuffix(r.URL.Path, "/")); answer != nil {
		reply(w, http.StatusOK, answer)
		return
	}
	q, err := s.parse(r)
	if err == nil {
		err = s.serve(w, q)
	}
	if err != nil {
		st := statusOf(err)
		reply(w, int(st.Code), st)
	}
}

// parse understands /api/v1/... and /apis/GROUP/VERSION/..., with or without a namespace, name and sub-resource.
func (s *Server) parse(r *http.Request) (*request, error) {
	unknown := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: "no such path: " + r.URL.Path,
	}}
	p := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	q := &request{Request: r}
	var group string
	switch {
	case len(p) >= 3 && p[0] == "api":
		q.version, p = p[1], p[2:]
	case len(p) >= 4 && p[0] == "apis":
		group, q.version, p = p[1], p[2], p[3:]
	default:
		return nil, unknown
	}
	if len(p) >= 3 && p[0] == "namespaces" && p[2] != "status" {
		q.id.Namespace, p = p[1], p[2:]
	}
	for _, k := range s.resources {
		if k.Group == group && k.Plural == p[0] {
			q.id.Resource = k
		}
	}
	if q.id.Resource == nil || len(p) > 3 {
		return nil, unknown
	}
	if len(p) > 1 {
		q.id.Name = p[1]
	}
	if len(p) > 2 {
		q.subresource = p[2]
	}
	return q, nil
}

func (s *Server) serve(w http.ResponseWriter, q *request) error {
	switch {
	case q.subresource == "log" && q.Method == http.MethodGet:
		return s.logs(w, q)
	case q.subresource != "" && q.subresource != "status":
		return apierrors.NewMethodNotSupported(groupResource(q.id), q.Method+" "+q.subresource)
	case q.Method == http.MethodGet && q.id.Name == "":
		return s.list(w, q)
	case q.Method == http.MethodGet:
		return s.get(w, q)
	case q.Method == http.MethodPost && q.id.Name == "":
		return s.create(w, q)
	case q.Method == http.MethodPut || q.Method == http.MethodPatch:
		return s.update(w, q)
	case q.Method == http.MethodDelete && q.id.Name != "":
		if err := s.Delete(q.Context(), q.id); err != nil {
			return err
		}
		reply(w, http.StatusOK, metav1.Status{Kind: "Status", APIVersion: "v1", Status: metav1.StatusSuccess})
		return nil
	}
	return apierrors.NewMethodNotSupported(groupResource(q.id), q.Method)
}

func (s *Server) get(w http.ResponseWriter, q *request) error {
	o, err := s.store.get(q.id)
	if err != nil {
		return err
	}
	if err := s.present(q.Context(), o, q); err != nil {
		return err
	}
	reply(w, http.StatusOK, o.Object)
	return nil
}

// present gives an object the version that was asked for and the status that the gateway reports.
func (s *Server) present(ctx context.Context, o *unstructured.Unstructured, q *request) error {
	o.SetAPIVersion(apiVersion(q.id.Resource.Group, q.version))
	o.SetKind(q.id.Resource.Kind)
	st, ok, err := s.Status(ctx, ID{q.id.Resource, o.GetNamespace(), o.GetName()})
	if err != nil {
		return err
	}
	if ok {
		o.Object["status"] = st
	}
	return nil
}

func (s *Server) list(w http.ResponseWriter, q *request) error {
	selector, err := labels.Parse(q.URL.Query().Get("labelSelector"))
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	all := s.store.list(q.id.Resource, q.id.Namespace, selector)
	extra, err := s.Extra(q.Context(), q.id.Resource, q.id.Namespace)
	if err != nil {
		return err
	}
	for _, o := range extra {
		if selector.Matches(labels.Set(o.GetLabels())) {
			all = append(all, o)
		}
	}
	items := make([]any, 0, len(all))
	for _, o := range all {
		if err := s.present(q.Context(), o, q); err != nil {
			return err
		}
		items = append(items, o.Object)
	}
	reply(w, http.StatusOK, map[string]any{
		"apiVersion": apiVersion(q.id.Resource.Group, q.version), "kind": q.id.Resource.Kind + "List",
		"metadata": map[string]any{"resourceVersion": "0"}, "items": items,
	})
	return nil
}

func (s *Server) create(w http.ResponseWriter, q *request) error {
	o, err := q.object(q.Body)
	if err != nil {
		return err
	}
	q.id.Name = o.GetName()
	if q.id.Name == "" {
		return apierrors.NewBadRequest("metadata.name is missing")
	}
	q.id.Resource.admit(q.version, o.Object)
	stored, err := s.store.create(q.id, o)
	if err != nil {
		return err
	}
	return s.changed(w, q, stored, http.StatusCreated)
}

func (s *Server) update(w http.ResponseWriter, q *request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 4<<20))
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	stored, err := s.store.update(q.id, q.subresource == "status", func(old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		next := body
		if q.Method == http.MethodPatch {
			if t := q.Header.Get("Content-Type"); t != string(types.MergePatchType) {
				return nil, apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "patch", groupResource(q.id), q.id.Name, t, 0, true)
			}
			text, err := old.MarshalJSON()
			if err != nil {
				return nil, err
			}
			if next, err = jsonpatch.MergePatch(text, body); err != nil {
				return nil, apierrors.NewBadRequest(err.Error())
			}
		}
		o, err := q.object(strings.NewReader(string(next)))
		if err == nil {
			q.id.Resource.admit(q.version, o.Object)
		}
		return o, err
	})
	if err != nil {
		return err
	}
	return s.changed(w, q, stored, http.StatusOK)
}

func (s *Server) changed(w http.ResponseWriter, q *request, stored *unstructured.Unstructured, code int) error {
	if err := s.Changed(q.Context(), q.id, stored); err != nil {
		return err
	}
	if err := s.present(q.Context(), stored, q); err != nil {
		return err
	}
	reply(w, code, stored.Object)
	return nil
}

func (s *Server) logs(w http.ResponseWriter, q *request) error {
	var since time.Time
	if v := q.URL.Query().Get("sinceTime"); v != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, v); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	text, err := s.Logs(q.id.Namespace, q.id.Name, since)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain")
	_, err = io.WriteString(w, text)
	return err
}

// object decodes one object and gives it the namespace of the path.
func (q *request) object(r io.Reader) (*unstructured.Unstructured, error) {
	text, err := io.ReadAll(io.LimitReader(r, 4<<20))
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(text); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	o.SetAPIVersion(apiVersion(q.id.Resource.Group, q.version))
	if q.id.Resource.Namespaced {
		o.SetNamespace(q.id.Namespace)
	}
	return o, nil
}

func apiVersion(group, version string) string {
	if group == "" {
		return version
	}
	return group + "/" + version
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// An error here is the client's: it has left, and nobody is there to be told.
	_ = json.NewEncoder(w).Encode(v)
}
