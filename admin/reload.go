// Health, readiness, and the two sides of a reload: asking for one, and waiting until a certain state of the files is served.

package admin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wicketgate/wicketgate/reconcile"
)

// Bounds of how long a request to /reload waits.
const (
	defaultWait = 10 * time.Second
	longestWait = 4 * time.Minute
)

func (a *api) healthz(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") }

func (a *api) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case a.stopping != nil && a.stopping():
		writeText(w, http.StatusServiceUnavailable, "not ready: shutting down\n")
	case a.source.View() == nil:
		writeText(w, http.StatusServiceUnavailable, "not ready: the first configuration is not served yet\n")
	default:
		writeText(w, http.StatusOK, "ok\n")
	}
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // a client that has left is its own problem
}

// Reload is what /reload answers: what is in force.
type Reload struct {
	Generation uint64 `json:"generation"`
	// Digest is hex SHA-256 over the sorted paths and contents of the files.
	Digest  string `json:"digest"`
	Files   int    `json:"files"`
	Objects int    `json:"objects"`
	Errors  int    `json:"errors"`
	// Problems are lines as `wicketgate check` prints them, warnings and ignored kinds included.
	Problems []string  `json:"problems"`
	Served   time.Time `json:"served"`
}

func describe(v *reconcile.View) Reload {
	r := Reload{
		Generation: v.Generation, Digest: v.Digest, Files: v.Files, Objects: v.Objects().Len(),
		Errors: v.Errors(), Served: v.Served, Problems: make([]string, 0, len(v.Problems)),
	}
	for _, p := range v.Problems {
		r.Problems = append(r.Problems, p.String())
	}
	return r
}

// isDigest reports whether a text could be a View's Digest: nobody should wait for what cannot come.
func isDigest(text string) bool {
	if len(text) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// reload answers POST /reload, which reads the files now and returns when they are served, and GET /reload[?wait=DIGEST], which asks for
// nothing and returns when files with that digest are served. Both take ?timeout=10s.
func (a *api) reload(w http.ResponseWriter, r *http.Request) {
	wait := defaultWait
	if text := r.URL.Query().Get("timeout"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > longestWait {
			writeStatus(w, badRequest(fmt.Errorf("timeout %q is not a duration from 0s to %s", text, longestWait)))
			return
		}
		wait = d
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	var v *reconcile.View
	var err error
	switch digest := r.URL.Query().Get("wait"); {
	case r.Method == http.MethodPost:
		v, err = a.source.Reload(ctx)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", "GET, POST")
		writeStatus(w, methodNotAllowed(r.Method))
		return
	case digest == "":
		v = a.source.View()
	case !isDigest(digest):
		writeStatus(w, badRequest(fmt.Errorf("wait %q is not a digest: it has 64 hexadecimal digits in lower case", digest)))
		return
	default:
		v, err = a.source.Await(ctx, digest)
	}
	switch {
	case ctx.Err() != nil && err != nil:
		served := "nothing is served yet"
		if v != nil {
			served = fmt.Sprintf("generation %d with digest %s is served", v.Generation, v.Digest)
		}
		writeStatus(w, timedOut(fmt.Sprintf("%v; %s", err, served)))
	case err != nil:
		writeStatus(w, unavailable(err.Error()))
	case v == nil:
		writeStatus(w, unavailable("nothing is served yet"))
	default:
		writeJSON(w, http.StatusOK, describe(v))
	}
}
