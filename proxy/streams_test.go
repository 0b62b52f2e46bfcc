// Which listener and route a connection belongs to, by the server name that it asks for.

package proxy

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/proxy/stream"
)

const streamsYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mixed, namespace: default}
spec:
  gatewayClassName: any
  listeners:
  - {name: db, port: 5432, protocol: TCP}
  - {name: wild, port: 443, protocol: TLS, hostname: "*.example.com", tls: {mode: Passthrough}}
  - {name: deep, port: 443, protocol: TLS, hostname: "*.deep.example.com", tls: {mode: Passthrough}}
  - {name: one, port: 443, protocol: TLS, hostname: one.example.com, tls: {mode: Passthrough}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: db, namespace: default, creationTimestamp: "2024-01-01T00:00:00Z"}
spec:
  parentRefs: [{name: mixed, sectionName: db}]
  rules: [{backendRefs: [{name: v1, port: 8080, weight: 3}, {name: gone, port: 8080}, {name: v2, port: 8080, weight: 0}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: late, namespace: default, creationTimestamp: "2024-01-02T00:00:00Z"}
spec:
  parentRefs: [{name: mixed, sectionName: db}]
  rules: [{backendRefs: [{name: v2, port: 8080}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: wide, namespace: default, creationTimestamp: "2024-01-01T00:00:00Z"}
spec:
  parentRefs: [{name: mixed}]
  hostnames: ["*.example.com"]
  rules: [{backendRefs: [{name: v1, port: 8080}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: narrow, namespace: default, creationTimestamp: "2024-01-02T00:00:00Z"}
spec:
  parentRefs: [{name: mixed}]
  hostnames: [one.example.com, two.example.com]
  rules: [{backendRefs: [{name: v2, port: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: v1, namespace: default}
spec: {ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: v2, namespace: default}
spec: {ports: [{port: 8080}]}
`

// The more precise hostname of a route wins over age; a route without a name of its own in the wildcard listener is found by the wildcard.
func TestStreamsAreFound(t *testing.T) {
	p, _ := fakes(Options{})
	defer p.Close()
	s := p.Compile(graphOf(t, "streams.yaml", streamsYAML), nil)
	defer s.Discard()
	var got strings.Builder
	if err := s.Print(&got); err != nil {
		t.Fatal(err)
	}
	want := `socket [::]:443 TLS
  listener default/mixed wild: TLS port 443, *.example.com
    one.example.com -> TLSRoute default/narrow rule 0 (streams.yaml:41:11): Service default/v2:8080
    two.example.com -> TLSRoute default/narrow rule 0 (streams.yaml:41:11): Service default/v2:8080
    *.example.com -> TLSRoute default/wide rule 0 (streams.yaml:33:11): Service default/v1:8080
  listener default/mixed deep: TLS port 443, *.deep.example.com
    *.deep.example.com -> TLSRoute default/wide rule 0 (streams.yaml:33:11): Service default/v1:8080
  listener default/mixed one: TLS port 443, one.example.com
    one.example.com -> TLSRoute default/narrow rule 0 (streams.yaml:41:11): Service default/v2:8080
socket [::]:5432 TCP
  listener default/mixed db: TCP port 5432, any host
    any -> TCPRoute default/db rule 0 (streams.yaml:18:11): Service default/v1:8080 weight 3, refused (Service default/gone is not defined) weight 1
`
	if g := got.String(); g != want {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
	for name, want := range map[string]string{
		"one.example.com": "one", "two.example.com": "wild", "x.y.example.com": "wild", "a.deep.example.com": "deep", "deep.example.com": "wild",
		"example.com": "", "": "", "one.example.com.evil": "",
	} {
		l := s.streamListener(netip.MustParseAddrPort("[::]:443"), netip.Addr{}, name)
		found := ""
		if l != nobody {
			found = l.source.Name
		}
		if found != want {
			t.Errorf("%q finds %q, want %q", name, found, want)
		}
	}
}

// A connection of a socket that nobody knows any more, or with a name that nobody has, is closed, and the snapshot let go of.
func TestStreamsThatNobodyWantsAreClosed(t *testing.T) {
	p, _ := fakes(Options{})
	defer p.Close()
	s := p.Compile(graphOf(t, "streams.yaml", streamsYAML), nil)
	p.Swap(s)
	for bind, name := range map[string]string{"[::]:443": "example.org", "[::]:9": ""} {
		client, theirs := net.Pipe()
		if !p.ServeStream(stream.Connection{Client: theirs}, netip.MustParseAddrPort(bind), name) {
			t.Errorf("%s: declined", bind)
		}
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: open", bind)
		}
	}
	for i := range s.life.counts {
		if n := s.life.counts[i].n.Load(); n != 0 {
			t.Errorf("%d connections still hold the snapshot", n)
		}
	}
}
