// Conversations of the examples' requests.txt: over TCP, TLS and UDP, line by line and datagram by datagram.

package examples

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// open is the method of a conversation.
const open = "OPEN"

// The kinds of steps.
const (
	say  = ">"
	hear = "<"
	end  = "END"
)

// step is one line of a conversation.
type step struct{ kind, text string }

// step adds one line to a conversation.
func (c *request) step(line string) error {
	kind, text, _ := strings.Cut(line, " ")
	if kind != say && kind != hear && kind != end {
		return fmt.Errorf("cannot read %q in a conversation", line)
	}
	c.steps = append(c.steps, step{kind, text})
	return nil
}

// portOf is the port that a URL means.
func portOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// converse follows the steps. Hosts are on this machine, at the ports that stand for those of the URL.
func (c *request) converse(t *testing.T, ports map[string]string, roots *x509.CertPool) {
	u, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	network := strings.Replace(u.Scheme, "tls", "tcp", 1)
	conn, err := net.Dial(network, "127.0.0.1:"+ports[u.Port()])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if u.Scheme == "tls" {
		secured := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: u.Hostname()})
		if err := secured.Handshake(); err != nil {
			if c.steps[0].kind != end {
				t.Fatal(err)
			}
			return
		}
		conn = secured
	}
	lines := bufio.NewReaderSize(conn, 1<<16) // a datagram is read whole
	for _, s := range c.steps {
		switch s.kind {
		case say:
			text := s.text + "\n"
			if network == "udp" {
				text = s.text
			}
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatalf("saying %q: %v", s.text, err)
			}
		case hear:
			if got, err := next(lines, network); err != nil || got != s.text {
				t.Fatalf("heard %q, %v, want %q", got, err, s.text)
			}
		case end:
			if got, err := next(lines, network); err == nil || got != "" {
				t.Fatalf("heard %q after what should have been the end", got)
			}
		}
	}
}

// next reads a line or a datagram.
func next(lines *bufio.Reader, network string) (string, error) {
	if network != "udp" {
		text, err := lines.ReadString('\n')
		return strings.TrimRight(text, "\r\n"), err
	}
	if _, err := lines.Peek(1); err != nil {
		return "", err
	}
	text, err := lines.Peek(lines.Buffered())
	_, _ = lines.Discard(len(text))
	return strings.TrimSpace(string(text)), err
}
