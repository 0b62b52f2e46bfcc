// tls.options of listeners: how handshakes are answered. The Gateway API leaves the keys to each implementation; these are ours:
//
//	wicketgate.dev/tls-min-version      "1.2" (the default) or "1.3"
//	wicketgate.dev/tls-cipher-suites    of TLS 1.2, such as "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
//	wicketgate.dev/tls-curves           such as "X25519MLKEM768,X25519"
//	wicketgate.dev/alpn                 of an HTTPS listener, such as "h2,http/1.1": what is not listed is not spoken
//
// Lists are separated by commas. What is misspelt would leave less protection in force than was asked for: the listener is not accepted then. Keys
// of other domains are other gateways', and a warning names them.

package gateway

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// TLSOptions say how a listener's handshakes differ from the default. Zero fields stand for that.
type TLSOptions struct {
	MinVersion   uint16
	CipherSuites []uint16 // of TLS 1.2
	Curves       []tls.CurveID
	Protocols    []string // ALPN of an HTTPS listener
}

// Speaks says whether a listener with these options, which may be nil, speaks a protocol (ALPN).
func (o *TLSOptions) Speaks(protocol string) bool {
	return o == nil || o.Protocols == nil || slices.Contains(o.Protocols, protocol)
}

// optionDomain is what our keys begin with.
const optionDomain = "wicketgate.dev/"

// readOptions reads the options of a listener that ends TLS.
func (b *builder) readOptions(l *Listener, options map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue) {
	var others []string
	for _, key := range slices.Sorted(maps.Keys(options)) {
		name, ours := strings.CutPrefix(string(key), optionDomain)
		if !ours {
			others = append(others, string(key))
			continue
		}
		if l.TLSOptions == nil {
			l.TLSOptions = &TLSOptions{}
		}
		if err := l.TLSOptions.set(name, string(options[key]), l.Protocol); err != nil {
			l.faults.add(typeAccepted, reasonUnsupportedValue, l.field("tls.options"), "TLS option "+string(key)+": "+err.Error())
		}
	}
	b.warnOptions(l, others)
}

// set reads one option.
func (o *TLSOptions) set(name, text string, protocol gatewayv1.ProtocolType) (err error) {
	switch name {
	case "tls-min-version":
		versions := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
		var found bool
		if o.MinVersion, found = versions[strings.TrimSpace(text)]; !found {
			err = fmt.Errorf("%q is neither 1.2 nor 1.3", text)
		}
	case "tls-cipher-suites":
		o.CipherSuites, err = words(text, cipherSuites(), "cipher suite of TLS 1.2")
	case "tls-curves":
		o.Curves, err = words(text, curves(), "key exchange")
	case "alpn":
		if protocol != gatewayv1.HTTPSProtocolType {
			return fmt.Errorf("is for protocol HTTPS: what the backends of protocol %s speak is found out", protocol)
		}
		o.Protocols, err = words(text, map[string]string{"http/1.1": "http/1.1", "h2": "h2", "h3": "h3"}, "protocol")
	default:
		err = fmt.Errorf("there is no such option: there are tls-min-version, tls-cipher-suites, tls-curves and alpn")
	}
	return err
}

// words reads a list of words with a meaning.
func words[T comparable](text string, known map[string]T, what string) (list []T, err error) {
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		meaning, ok := known[word]
		switch {
		case !ok:
			return nil, fmt.Errorf("%q is no %s: use %s", word, what, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case slices.Contains(list, meaning):
			return nil, fmt.Errorf("%q is listed twice", word)
		}
		list = append(list, meaning)
	}
	return list, nil
}

// cipherSuites are those of TLS 1.2 that are secure; those of TLS 1.3 are all in use and not to be chosen.
func cipherSuites() map[string]uint16 {
	known := map[string]uint16{}
	for _, s := range tls.CipherSuites() {
		if slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			known[s.Name] = s.ID
		}
	}
	return known
}

// curves are the key exchanges that there are. X25519MLKEM768 also withstands quantum computers.
func curves() map[string]tls.CurveID {
	return map[string]tls.CurveID{
		"X25519MLKEM768": tls.X25519MLKEM768, "X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521,
	}
}

// warnOptions tells of TLS options that have no meaning here.
func (b *builder) warnOptions(l *Listener, keys []string) {
	if len(keys) > 0 {
		b.warn(l.Object(), l.field("tls.options"), "TLS options are another gateway's and are not used: "+strings.Join(keys, ", "))
	}
}
