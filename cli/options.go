// The flags of run, and what they mean to the parts of the program.

package cli

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/wicketgate/wicketgate/admin"
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/config/secretdir"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/datagram"
	"github.com/wicketgate/wicketgate/tls/issue"
	"github.com/wicketgate/wicketgate/wire"
)

// semantics are the flags that change what files mean: run and check have them both.
type semantics struct {
	controllerName string
	strict         bool
	portMap        map[string]string
	backendDNS     bool
	addressPool    string
	mergeGateways  string
	acme           acmeFlags
	loopback       bool
	http3          bool
	externalName   bool
	unixDir        string
	secrets        []string
	secretRoots    []string
}

func (s *semantics) register(f *pflag.FlagSet) {
	f.StringVar(&s.controllerName, "controller-name", "", "serve only GatewayClasses with this controllerName (default any)")
	f.BoolVar(&s.strict, "strict", false, "refuse to start if anything in the files is refused, and find no backends by DNS")
	f.StringToStringVar(&s.portMap, "port-map", nil, "bind other ports than the listeners say, such as 80=8080,443=8443")
	f.BoolVar(&s.backendDNS, "backend-dns", true, "find Services that have no EndpointSlice by their DNS names")
	f.StringVar(&s.addressPool, "address-pool", "", "give each Gateway without addresses one of this network, such as 127.0.10.0/24")
	f.BoolVar(&s.http3, "http3", true, "serve HTTPS listeners over HTTP/3, too, on the UDP port of the same number")
	f.BoolVar(&s.loopback, "allow-loopback-backends", false, "let EndpointSlices in confined directories (DIR:ns1,ns2) name loopback addresses")
	f.BoolVar(&s.externalName, "allow-external-name", false, "serve Services of type ExternalName as backends, which the Gateway API advises against")
	f.StringVar(&s.unixDir, "backend-unix-dir", "", "directory below which Backends may name Unix sockets (default none)")
	f.StringVar(&s.mergeGateways, "merge-gateways", "namespace", "whose Gateways may share one port with overlapping hostnames: namespace or all")
	f.StringArrayVar(&s.secrets, "secret", nil, "NAMESPACE/NAME=DIR: a directory whose files are the keys of a Secret, as certbot or a mounted Secret has them; may be given several times")
	f.StringArrayVar(&s.secretRoots, "secret-root", nil, "directory below which Secrets may name directories of theirs by the annotation "+secretdir.Annotation+"; may be given several times")
	s.acme.register(f)
}

// gatewayOptions checks the flags and says what they mean to gateway.Build.
func (s *semantics) gatewayOptions() (gateway.Options, error) {
	o := gateway.Options{ControllerName: s.controllerName, Strict: s.strict, DNSBackends: s.backendDNS && !s.strict, HTTP3: s.http3, PortMap: map[int32]uint16{}, ConfinedLoopback: s.loopback, ExternalName: s.externalName}
	for from, to := range s.portMap {
		listener, err := port(from)
		if err != nil {
			return o, fmt.Errorf("--port-map %s=%s: %w", from, to, err)
		}
		bind, err := port(to)
		if err != nil {
			return o, fmt.Errorf("--port-map %s=%s: %w", from, to, err)
		}
		o.PortMap[int32(listener)] = bind
	}
	if s.unixDir != "" {
		dir, err := filepath.Abs(s.unixDir)
		if err != nil {
			return o, fmt.Errorf("--backend-unix-dir %q: %w", s.unixDir, err)
		}
		o.UnixDir = filepath.ToSlash(dir)
	}
	if s.addressPool != "" {
		pool, err := netip.ParsePrefix(s.addressPool)
		if err != nil {
			return o, fmt.Errorf("--address-pool %q is not a network such as 127.0.10.0/24: %w", s.addressPool, err)
		}
		o.AddressPool = pool
	}
	switch s.mergeGateways {
	case "namespace":
	case "all":
		o.MergeAcrossNamespaces = true
	default:
		return o, fmt.Errorf("--merge-gateways %q is neither namespace nor all", s.mergeGateways)
	}
	return o, nil
}

func port(text string) (uint16, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port from 1 to %d", text, math.MaxUint16)
	}
	return uint16(n), nil
}

// runOptions are all flags of run, as typed.
type runOptions struct {
	semantics
	roots                                             []string
	admin, adminTokenFile                             string
	adminHosts                                        []string
	adminTLS                                          admin.TLS
	drainTimeout                                      time.Duration
	maxConnections, maxUDPSessions                    int64
	udpSessionTimeout                                 time.Duration
	backendDNSCIDRs, dnsServers, trustedProxies       []string
	mergeSlashes                                      bool
	underscoreHeaders, logLevel, logFormat, transport string
	http3EarlyData                                    bool
	accessLog, accessLogFormat                        string
	stateDir                                          string
	pollInterval                                      time.Duration
}

func (o *runOptions) register(f *pflag.FlagSet) {
	f.StringArrayVar(&o.roots, "config", nil, "directory or file to serve, may be given several times; DIR:ns1,ns2 confines it to namespaces")
	f.DurationVar(&o.pollInterval, "poll-interval", config.DefaultPoll, "how often to look for changes that the system does not report, as on network and container mounts; 0: never")
	f.StringVar(&o.stateDir, "state-dir", "", "directory for what outlives a restart, or none (default $STATE_DIRECTORY, else $XDG_STATE_HOME/wicketgate or ~/.local/state/wicketgate)")
	f.StringVar(&o.admin, "admin", admin.DefaultAddress, "address of the administrative interface")
	f.StringVar(&o.adminTokenFile, "admin-token-file", "", "file with the token to ask for on the administrative interface")
	f.StringVar(&o.adminTLS.Cert, "admin-tls-cert", "", "certificate, in PEM, of the administrative interface, which then speaks TLS")
	f.StringVar(&o.adminTLS.Key, "admin-tls-key", "", "private key, in PEM, of that certificate")
	f.StringVar(&o.adminTLS.ClientCA, "admin-tls-client-ca", "", "certificate authorities, in PEM, of the clients that may ask the administrative interface")
	f.StringSliceVar(&o.adminHosts, "admin-host", nil, "host names, beside localhost, under which the administrative interface may be asked")
	f.DurationVar(&o.drainTimeout, "drain-timeout", 30*time.Second, "how long requests may take to finish at the end, or on a listener that is removed")
	f.Int64Var(&o.maxConnections, "max-connections", 0, "how many connections clients may have at once, -1 for any number (default half of the open file limit)")
	f.Int64Var(&o.maxUDPSessions, "max-udp-sessions", 0, "how many sessions UDP clients may have at once (default a quarter of the open file limit, at most 65536)")
	f.DurationVar(&o.udpSessionTimeout, "udp-session-timeout", datagram.DefaultIdle, "how long a UDP session lives without a datagram")
	f.StringSliceVar(&o.backendDNSCIDRs, "backend-dns-cidr", nil, "networks, beside the private ones, where DNS may find backends")
	f.StringSliceVar(&o.dnsServers, "dns-server", nil, "DNS servers to ask (default those of /etc/resolv.conf)")
	f.StringSliceVar(&o.trustedProxies, "trusted-proxies", nil, "networks of the proxies whose X-Forwarded-* fields are believed")
	f.BoolVar(&o.mergeSlashes, "merge-slashes", true, "treat several slashes in a row in a path as one")
	f.StringVar(&o.underscoreHeaders, "underscore-headers", "drop", "header fields with _ in their name: drop, allow or reject")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal and JSON elsewhere")
	f.BoolVar(&o.http3EarlyData, "http3-early-data", false, "answer safe requests in the first flight of a resumed HTTP/3 connection (0-RTT), which can be replayed")
	f.StringVar(&o.accessLog, "access-log", "", "file to log every request to, or - for standard output (default no access log)")
	f.StringVar(&o.accessLogFormat, "access-log-format", "json", "json, combined, or a template such as '$client $method $path $status'")
	f.StringVar(&o.transport, "transport", "auto", "how connections are read: raw (Linux), portable, or auto")
	o.semantics.register(f)
}

// settings are the flags, understood.
type settings struct {
	roots          []config.Root
	gateway        gateway.Options
	issue          issue.Options
	ask            *url.URL // for certificates on demand; nil: there are none
	secrets        []secretdir.Source
	secretRoots    []string // absolute
	dnsServers     []netip.AddrPort
	dnsNetworks    []netip.Prefix
	trustedProxies []netip.Prefix
	underscore     proxy.Underscore
	transport      wire.Transport
	// stateDir is the absolute path of the state directory, which exists, or "" if there is none. Each of its users has a directory of its own
	// in it. runGateway fills it in, because it is found by trying.
	stateDir       string
	sessionKey     []byte // of sessionPersistence; as well
	maxConnections int64  // 0: any number
	maxUDPSessions int64
}

// understand checks the flags and says what they mean, or what is wrong with the first wrong one.
func (o *runOptions) understand() (s settings, err error) {
	if len(o.roots) == 0 {
		return s, errors.New("nothing to serve: name a directory of Gateway API YAML with --config DIR")
	}
	for _, r := range o.roots {
		s.roots = append(s.roots, config.ParseRoot(r))
	}
	if o.pollInterval < 0 {
		return s, fmt.Errorf("--poll-interval %s is negative: 0 turns polling off", o.pollInterval)
	}
	if s.gateway, err = o.gatewayOptions(); err != nil {
		return s, err
	}
	if err = o.certificates(&s); err != nil {
		return s, err
	}
	if s.dnsServers, err = each("--dns-server", o.dnsServers, dnsServer); err != nil {
		return s, err
	}
	if s.dnsNetworks, err = each("--backend-dns-cidr", o.backendDNSCIDRs, network); err != nil {
		return s, err
	}
	if s.trustedProxies, err = each("--trusted-proxies", o.trustedProxies, network); err != nil {
		return s, err
	}
	switch o.underscoreHeaders {
	case "drop":
		s.underscore = proxy.DropUnderscore
	case "allow":
		s.underscore = proxy.AllowUnderscore
	case "reject":
		s.underscore = proxy.RejectUnderscore
	default:
		return s, fmt.Errorf("--underscore-headers %q is none of drop, allow, reject", o.underscoreHeaders)
	}
	s.maxConnections = max(o.maxConnections, 0)
	if o.maxConnections == 0 {
		s.maxConnections = openFiles() / 2 // a connection to a backend for each
	}
	if s.maxUDPSessions, err = o.udpSessions(openFiles()); err != nil {
		return s, err
	}
	s.transport, err = transport(o.transport)
	return s, err
}

// certificates fills in where certificates come from.
func (o *runOptions) certificates(s *settings) (err error) {
	if s.issue, err = o.acme.options(); err != nil {
		return err
	}
	if s.ask, err = o.acme.onDemand(); err != nil {
		return err
	}
	if s.secrets, err = each("--secret", o.secrets, secretdir.Parse); err != nil {
		return err
	}
	s.secretRoots, err = each("--secret-root", o.secretRoots, filepath.Abs)
	return err
}

// mostUDPSessions is how many sessions there may be by default, however many files may be open.
const mostUDPSessions = 1 << 16

// udpSessions reads --max-udp-sessions and checks --udp-session-timeout; files is the limit of open files, of which each session takes one, 0 if there is
// none.
func (o *runOptions) udpSessions(files int64) (int64, error) {
	switch {
	case o.udpSessionTimeout <= 0:
		return 0, fmt.Errorf("--udp-session-timeout %s is no time that a session could live", o.udpSessionTimeout)
	case o.maxUDPSessions < 0:
		return 0, fmt.Errorf("--max-udp-sessions %d is negative: name a number, or leave it out", o.maxUDPSessions)
	case o.maxUDPSessions > 0:
		return o.maxUDPSessions, nil
	case files == 0:
		return mostUDPSessions, nil
	}
	return min(max(files/4, 1), mostUDPSessions), nil
}

// transport reads --transport. Raw is the default where there is one.
func transport(text string) (wire.Transport, error) {
	switch {
	case text == "portable", text == "auto" && runtime.GOOS != "linux":
		return wire.Portable, nil
	case text == "auto", text == "raw" && runtime.GOOS == "linux":
		return wire.Raw, nil
	case text == "raw":
		return 0, fmt.Errorf("--transport raw needs Linux, and this is %s: use portable", runtime.GOOS)
	}
	return 0, fmt.Errorf("--transport %q is none of auto, raw, portable", text)
}

// each parses every value of a flag.
func each[T any](flag string, values []string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for _, v := range values {
		t, err := parse(strings.TrimSpace(v))
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", flag, v, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// network reads a network, or an address as the network of it alone.
func network(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, errors.New("neither a network, such as 10.0.0.0/8, nor an IP address")
	}
	return p.Masked(), nil
}

// dnsServer reads an address with or without a port.
func dnsServer(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, 53), nil
	}
	server, err := netip.ParseAddrPort(text)
	if err != nil {
		return server, errors.New("no IP address, such as 10.0.0.53, or 10.0.0.53:5353 with a port")
	}
	return server, nil
}
