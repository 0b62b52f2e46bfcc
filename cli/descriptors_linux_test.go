// A gateway that has run out of open files: what is open is served on, and it accepts again once there is room.

package cli

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAcceptingResumesAfterDescriptorsRanOut(t *testing.T) {
	port := freePort(t)
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port), "route.yaml": routeYAML("fine", "/", newBackend(t, saying("fine"))),
	}, "--max-connections", "-1")
	old := converse(t, port)
	ask := func() {
		t.Helper()
		old.send("/")
		if code, body, _ := old.receive(); code != http.StatusOK || body != "fine" {
			t.Errorf("the connection from before: %d %q", code, body)
		}
	}
	ask()
	const few = 40
	if err := unix.Prlimit(g.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: few, Max: few}, nil); err != nil {
		t.Skip("no other process's limits may be set here: ", err)
	}
	var crowd []net.Conn
	for range 2 * few {
		crowd = append(crowd, dialPort(t, port))
	}
	eventually(t, "it says that there are too many open files", func() bool {
		ask() // at least once every few seconds: once the connection to the backend has been idle for longer, there is no descriptor for another one
		return strings.Contains(g.log.String(), "too many open files")
	})
	ask()
	for _, c := range crowd {
		_ = c.Close()
	}
	eventually(t, "new connections are served again", func() bool {
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(at(port, "/"))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	g.edit(map[string]string{"more.yaml": routeYAML("more", "/more", newBackend(t, saying("more")))})
	if code, body := fetch(t, client, at(port, "/more")); code != http.StatusOK || body != "more" {
		t.Errorf("an edit after it: %d %q", code, body)
	}
}
