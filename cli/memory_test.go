// What a large upload costs in memory: nothing but the buffers that its rule has configured.

package cli

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// zeros is a body of n bytes. Reading tells what was read.
type zeros struct {
	n    int64
	read func(total int64)
	done int64
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.done == z.n {
		return 0, io.EOF
	}
	k := min(int64(len(p)), z.n-z.done)
	clear(p[:k])
	z.done += k
	z.read(z.done)
	return int(k), nil
}

// slowly takes a body in small bites, each a while after the other, so that the client is always ahead and everything in between is full.
func slowly(w http.ResponseWriter, r *http.Request) {
	bite := make([]byte, 512<<10)
	for n := int64(0); ; {
		k, err := io.ReadFull(r.Body, bite)
		if n += int64(k); err != nil {
			fmt.Fprint(w, n)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// mirroredYAML leads everything to port, with retries, and mirrors it to others.
func mirroredYAML(port int, mirrors ...int) string {
	text, services, filters := routeYAML("main", "/", port), "", ""
	for i, m := range mirrors {
		name := fmt.Sprintf("mirror%d", i)
		services += "---\n" + strings.SplitN(routeYAML(name, "/", m), "---\n", 2)[1]
		filters += "    - {type: RequestMirror, requestMirror: {backendRef: {name: " + name + ", port: 80}}}\n"
	}
	return strings.Replace(text, "    backendRefs:", "    retry: {codes: [503], attempts: 3}\n    filters:\n"+filters+"    backendRefs:", 1) + services
}

var heapAlloc = regexp.MustCompile(`# HeapAlloc = (\d+)`)

// memory is what the gateway uses: live bytes of its heap after a collection, and resident bytes (0 where nothing tells them).
func (g *gate) memory() (heap, resident int64) {
	g.t.Helper()
	_, text := g.ask("GET", "/debug/pprof/heap?gc=1&debug=1")
	found := heapAlloc.FindStringSubmatch(text)
	if found == nil {
		g.t.Fatal("the profile tells no HeapAlloc")
	}
	heap, _ = strconv.ParseInt(found[1], 10, 64) // digits
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid)); err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				resident = kb << 10
			}
		}
	}
	return heap, resident
}

func TestLargeUploadsAreNotHeldInMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has a memory of its own")
	}
	port := freePort(t)
	quick := newBackend(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	ended := make(chan struct{})
	stuck := newBackend(t, func(http.ResponseWriter, *http.Request) { <-ended })
	t.Cleanup(func() { close(ended) })
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port), "route.yaml": mirroredYAML(newBackend(t, slowly), quick, stuck),
	})
	upload := func(size int64, read func(int64)) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, at(port, "/"), &zeros{n: size, read: read})
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = size
		if code, body := do(t, &http.Client{Timeout: 10 * time.Minute}, req); code != http.StatusOK || body != strconv.FormatInt(size, 10) {
			t.Fatalf("%d, the backend got %s bytes", code, body)
		}
	}
	upload(64<<20, func(int64) {}) // connections, buffers and the runtime's own are there
	g.memory()                     // and so is what the profile needs
	heap, resident := g.memory()

	const buffers, slack = 3 * 64 << 10, 1 << 20 // the retry's and two mirrors'
	var most, mostResident, samples int64
	upload(1<<30, func(total int64) {
		if total>>27 > samples { // every 128 MiB
			samples = total >> 27
			h, r := g.memory()
			most, mostResident = max(most, h-heap), max(mostResident, r-resident)
		}
	})
	t.Logf("%d samples: the heap grew by %d KiB from %d, resident memory by %d KiB from %d", samples, most>>10, heap>>10, mostResident>>10, resident>>10)
	if samples < 7 || most > buffers+slack {
		t.Errorf("the heap grew by %d bytes in %d samples, more than the buffers (%d) and %d", most, samples, buffers, slack)
	}
	// The collector lets garbage grow to the size of what is live before it runs: resident memory may grow by that, and not by the body.
	if mostResident > buffers+slack+heap {
		t.Errorf("resident memory grew by %d bytes", mostResident)
	}
}

// An idle connection over QUIC costs what docs/http3.md says, and no more.
func TestMemoryOfIdleHTTP3Connections(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has a memory of its own")
	}
	g, _, secure := twoGate(t, newBackend(t, saying("hello")))
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	tr := &quic.Transport{Conn: pc}
	defer tr.Close()
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: secure}
	connect := func(n int) {
		t.Helper()
		for range n {
			conn, err := tr.Dial(t.Context(), to, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"h3"}}, unhurried(nil))
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://localhost/", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := (&http3.Transport{}).NewClientConn(conn).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}
	}
	connect(50) // buffers and pools are there
	heap, resident := g.memory()
	const connections = 400
	connect(connections)
	heapAfter, residentAfter := g.memory()
	each := (heapAfter - heap) / connections
	t.Logf("%d bytes of heap and %d resident for each", each, (residentAfter-resident)/connections)
	if each > 96<<10 {
		t.Errorf("an idle connection costs %d bytes", each)
	}
}
