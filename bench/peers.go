//go:build linux

// The proxies, and how their configurations are made from peers/.

package main

import (
	"embed"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed peers
var templates embed.FS

// peer is a proxy that can be measured.
type peer struct {
	name    string
	program func(*bench) string
	// config writes what the proxy reads into dir and returns the arguments to start it with.
	config func(b *bench, w row, dir string, listen, backend netip.AddrPort) ([]string, error)
	// unable says why the proxy cannot do a row, or nothing.
	unable func(w row) string
	// scale is how many names or paths the load asks for, in rows about scale.
	scale int
}

// standardPeers is who is measured unless the row says otherwise. The first is the reference of all ratios.
func standardPeers() []peer { return []peer{nginx(), haproxy(), gateway()} }

func nginx() peer {
	return peer{name: "nginx", program: program("nginx"), config: fromTemplate("nginx.conf", "-c"), unable: func(w row) string {
		if _, err := os.Stat("/usr/lib/nginx/modules/ngx_stream_module.so"); err != nil && (w.Kind == "tcp" || w.Kind == "passthrough" || w.Kind == "udp") {
			return "its stream module is not installed"
		}
		return ""
	}}
}

func haproxy() peer {
	return peer{name: "haproxy", program: program("haproxy"), config: fromTemplate("haproxy.cfg", "-db", "-f"), unable: func(w row) string {
		if w.Kind == "udp" {
			return "forwards no UDP"
		}
		return ""
	}}
}

func caddy() peer {
	return peer{
		name: "caddy", program: func(b *bench) string { return b.tools.caddy },
		config: fromTemplate("Caddyfile", "run", "--adapter", "caddyfile", "--config"),
	}
}

func gateway() peer {
	return peer{
		name: "wicketgate", program: func(b *bench) string { return b.settings.gateway },
		config: fromTemplate("wicketgate.yaml", gatewayArgs()...),
	}
}

// gatewayArgs starts a gateway that remembers nothing; the configuration's path is to follow.
func gatewayArgs() []string {
	return []string{"run", "--admin", freePort().String(), "--state-dir", "none", "--config"}
}

func program(name string) func(*bench) string { return func(*bench) string { return name } }

// fromTemplate makes one file from peers/NAME.tmpl and gives its path as the last argument.
func fromTemplate(name string, args ...string) func(*bench, row, string, netip.AddrPort, netip.AddrPort) ([]string, error) {
	return func(b *bench, w row, dir string, listen, backend netip.AddrPort) ([]string, error) {
		text, err := b.render(name, w, dir, listen, backend)
		if err != nil {
			return nil, fmt.Errorf("configuration %s: %w", name, err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		return append(slices.Clip(args), path), nil
	}
}

// render fills in a template of peers/.
func (b *bench) render(name string, w row, dir string, listen, backend netip.AddrPort) (string, error) {
	text, err := templates.ReadFile("peers/" + name + ".tmpl")
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	t, err := template.New(name).Parse(string(text))
	if err != nil {
		return "", fmt.Errorf("parse: %w", err)
	}
	pem := filepath.Join(dir, "bench.pem")
	if w.TLS {
		if err := os.WriteFile(pem, append(append([]byte(nil), b.cert.cert...), b.cert.key...), 0o600); err != nil {
			return "", fmt.Errorf("certificate: %w", err)
		}
	}
	workers := 2
	if w.Pinned {
		workers = 1
	}
	var out strings.Builder
	if err := t.Execute(&out, map[string]any{
		"Dir": dir, "Workers": workers, "Files": b.files, "Kind": w.Kind, "TLS": w.TLS, "H2": w.H2, "Cert": pem,
		"CertBase64": base64.StdEncoding.EncodeToString(b.cert.cert), "KeyBase64": base64.StdEncoding.EncodeToString(b.cert.key),
		"Listen": listen, "Host": listen.Addr(), "Port": listen.Port(),
		"Backend": backend, "BackendHost": backend.Addr(), "BackendPort": backend.Port(),
	}); err != nil {
		return "", fmt.Errorf("fill in: %w", err)
	}
	return out.String(), nil
}
