// Errors as Kubernetes' clients expect them: a metav1.Status in JSON.

package admin

import (
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/config"
)

func writeStatus(w http.ResponseWriter, s *metav1.Status) {
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	s.Status = metav1.StatusFailure
	writeJSON(w, int(s.Code), s)
}

func notFoundPath(path string) *metav1.Status {
	return &metav1.Status{
		Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: fmt.Sprintf("the server could not find the requested resource: %s", path),
	}
}

// noSchemas answers kubectl apply and kubectl explain, which ask for schemas. Of a 406 as text they show what it says, of a 404 only that it is one.
func noSchemas(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "objects are read from files, and changed there: put the file into a directory of --config "+
		"(wicketgate check says what is wrong with it, docs/fields.md explains the fields)", http.StatusNotAcceptable)
}

func notFound(k *config.Kind, name string) *metav1.Status {
	resource := k.Plural
	if k.Group != "" {
		resource += "." + k.Group
	}
	return &metav1.Status{
		Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: fmt.Sprintf("%s %q not found", resource, name),
		Details: &metav1.StatusDetails{Name: name, Group: k.Group, Kind: k.Plural},
	}
}

func methodNotAllowed(what string) *metav1.Status {
	return &metav1.Status{
		Code: http.StatusMethodNotAllowed, Reason: metav1.StatusReasonMethodNotAllowed,
		Message: fmt.Sprintf("%s is not supported: objects are read from files, and changed there", what),
	}
}

func badRequest(err error) *metav1.Status {
	return &metav1.Status{Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: err.Error()}
}

func forbidden(why string) *metav1.Status {
	return &metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: why}
}

func unauthorized() *metav1.Status {
	return &metav1.Status{
		Code: http.StatusUnauthorized, Reason: metav1.StatusReasonUnauthorized,
		Message: "a token is needed: send Authorization: Bearer TOKEN (on the command line: --admin-token-file)",
	}
}

func unavailable(why string) *metav1.Status {
	return &metav1.Status{Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable, Message: why}
}

func timedOut(why string) *metav1.Status {
	return &metav1.Status{Code: http.StatusGatewayTimeout, Reason: metav1.StatusReasonTimeout, Message: why}
}
