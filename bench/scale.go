//go:build linux

// Rows about size: the gateway with a small configuration is the reference of the gateway with a large one.

package main

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// scaled is the gateway with a configuration of some size, which write puts into a directory.
func scaled(name string, scale int, write func(b *bench, w row, dir string, scale int, listen, backend netip.AddrPort) error) peer {
	p := gateway()
	p.name, p.scale = name, scale
	p.config = func(b *bench, w row, dir string, listen, backend netip.AddrPort) ([]string, error) {
		scale := min(scale, b.most)
		dir = filepath.Join(dir, "config-"+strings.ReplaceAll(name, " ", "-"))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a directory: %w", err)
		}
		return append(gatewayArgs(), dir), write(b, w, dir, scale, listen, backend)
	}
	return p
}

func scaleRows() []row {
	lua := func(request string) string {
		return "local n = %d\nrequest = function() return " + request + " end\n"
	}
	routes := row{
		Name: "routes", About: "GET, 128 bytes, 64 connections, uniformly over all routes (16 rules to an HTTPRoute)", Aim: 1.05,
		Kind: "http", Backend: "http", Pinned: true,
		Load:  load{Tool: wrkTool, Conns: 64, Path: "/r0", Script: lua(`wrk.format("GET", "/r" .. math.random(0, n - 1))`), Protocol: "route"},
		Peers: []peer{scaled("10 routes", 10, writeRoutes), scaled("100,000 routes", 100_000, writeRoutes)},
	}
	headers := routes
	headers.Name, headers.About, headers.Aim = "headers", "GET, 128 bytes, 64 connections, uniformly over rules for one path that differ by a header", 2
	headers.Load.Path, headers.Load.Protocol, headers.Load.Script = "/", "get", lua(`wrk.format("GET", "/", {["X-Tenant"] = "t" .. math.random(0, n - 1)})`)
	headers.Peers = []peer{scaled("1 rule", 1, writeHeaders), scaled("1,000 rules", 1000, writeHeaders)}
	names := row{
		Name: "sni", About: "TLS 1.3 handshakes, one request each, uniformly over all server names", Unit: "handshake", Aim: 1.05,
		Kind: "http", TLS: true, Backend: "http", Pinned: true,
		Load:  load{Tool: ownTool, Protocol: "handshake", Conns: 8, Streams: 1},
		Peers: []peer{scaled("1 certificate", 1, writeNames), scaled("10,000 certificates", 10_000, writeNames)},
	}
	reload := row{Name: "reload", Run: measureReload, Kind: "http", Backend: "http"}
	quickstart := row{Name: "quickstart", Run: measureQuickstart, Kind: "http", Backend: "http"}
	return []row{routes, headers, names, reload, quickstart}
}

// base is the configuration for plain HTTP without routes.
func base(listen, backend netip.AddrPort) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: bench}
spec:
  gatewayClassName: wicketgate
  addresses: [{type: IPAddress, value: %s}]
  listeners: [{name: http, port: %d, protocol: HTTP}]
`, listen.Addr(), listen.Port()) + "---\n" + service("backend", backend)
}

func service(name string, backend netip.AddrPort) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %[3]d}]
endpoints: [{addresses: [%[2]s]}]
`, name, backend.Addr(), backend.Port())
}

// rulesIn writes n rules, at most 16 to an HTTPRoute (which is what the Gateway API admits), 100 HTTPRoutes to a file.
func rulesIn(dir string, n int, match func(i int) string) error {
	const rulesPerRoute, routesPerFile = 16, 100
	var b strings.Builder
	route := 0
	for i := range n {
		if i%rulesPerRoute == 0 {
			route++
			fmt.Fprintf(&b, "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r%d}\nspec:\n  parentRefs: [{name: bench}]\n  rules:\n", route)
		}
		fmt.Fprintf(&b, "  - matches: [%s]\n    backendRefs: [{name: backend, port: 80}]\n", match(i))
		if last := (i+1)%rulesPerRoute == 0; i == n-1 || last && route%routesPerFile == 0 {
			if err := write(dir, fmt.Sprintf("routes%d.yaml", route), b.String()); err != nil {
				return err
			}
			b.Reset()
		}
	}
	return nil
}

func write(dir, name, text string) error {
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

func writeRoutes(_ *bench, _ row, dir string, scale int, listen, backend netip.AddrPort) error {
	if err := write(dir, "base.yaml", base(listen, backend)); err != nil {
		return err
	}
	return rulesIn(dir, scale, func(i int) string { return fmt.Sprintf("{path: {value: /r%d}}", i) })
}

func writeHeaders(_ *bench, _ row, dir string, scale int, listen, backend netip.AddrPort) error {
	if err := write(dir, "base.yaml", base(listen, backend)); err != nil {
		return err
	}
	if err := write(dir, "rest.yaml", `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: rest}
spec:
  parentRefs: [{name: bench}]
  rules: [{backendRefs: [{name: backend, port: 80}]}]
`); err != nil {
		return err
	}
	return rulesIn(dir, scale, func(i int) string { return fmt.Sprintf("{headers: [{name: X-Tenant, value: t%d}]}", i) })
}

// writeNames gives each 64 certificates a listener for a wildcard, and each 64 listeners a Gateway: the most that the Gateway API admits.
func writeNames(_ *bench, _ row, dir string, scale int, listen, backend netip.AddrPort) error {
	var b, gateways, parents strings.Builder
	for i := range scale {
		name := fmt.Sprintf("h%d.g%d.example.com", i, i/64)
		if scale == 1 {
			name = "bench.example.com"
		}
		if i%(64*64) == 0 {
			fmt.Fprintf(&gateways, "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: bench%d}\nspec:\n"+
				"  gatewayClassName: wicketgate\n  addresses: [{type: IPAddress, value: %s}]\n  listeners:\n", i, listen.Addr())
			fmt.Fprintf(&parents, "  - name: bench%d\n", i)
		}
		if i%64 == 0 {
			_, domain, _ := strings.Cut(name, ".")
			fmt.Fprintf(&gateways, "  - name: g%d\n    port: %d\n    protocol: HTTPS\n    hostname: \"*.%s\"\n    tls:\n      certificateRefs:\n", i/64, listen.Port(), domain)
		}
		fmt.Fprintf(&gateways, "      - name: c%d\n", i)
		c, err := selfSigned(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: c%d}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n",
			i, base64.StdEncoding.EncodeToString(c.cert), base64.StdEncoding.EncodeToString(c.key))
	}
	route := "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: all}\nspec:\n  parentRefs:\n" + parents.String() +
		"  rules: [{backendRefs: [{name: backend, port: 80}]}]\n"
	if err := write(dir, "secrets.yaml", b.String()); err != nil {
		return err
	}
	return write(dir, "base.yaml", service("backend", backend)+gateways.String()+route)
}
