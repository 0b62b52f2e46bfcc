// echo: a small HTTP backend that answers with what it received, for examples and tests.

package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/net/websocket"
)

// echoBody bounds how much of a request's body is kept and sent back.
const echoBody = 1 << 20

type echoOptions struct {
	listen, tcp, udp []string
	name             string
	cert, key        string // files
	introduced       bool
}

func newEcho(p Program) *cobra.Command {
	o := &echoOptions{}
	c := &cobra.Command{
		Use:   "echo",
		Short: "Serve a small backend that answers with what it received, as JSON",
		Long: `Echo answers every HTTP request with 200 and a JSON object: the backend's name, and the method, path, query, host, header
fields, trailers and body as it received them. A WebSocket gets each of its messages back, and so does a call of gRPC, of any
method. HTTP/1.1 is spoken, and HTTP/2 without TLS by prior knowledge (h2c).

With --tcp it listens for connections that it sends everything back on, after a first line with its name, and with --udp for datagrams that it sends back,
after its name and a space. With one of these and without --listen it does not speak HTTP.

With --tls-cert and --tls-key all connections begin with a TLS handshake, as those that a TLSRoute passes through do. With --proxy-protocol they begin
with a header of the PROXY protocol (version 1 or 2), before anything else, and the client is the one that it names; a connection without it is closed.`,
		Example: `  wicketgate echo --listen 127.0.0.1:3000
  wicketgate echo --listen 127.0.0.1:3001 --listen 127.0.0.1:3002 --name cart
  wicketgate echo --tcp 127.0.0.1:3306 --udp 127.0.0.1:5353
  wicketgate echo --listen 127.0.0.1:3443 --tls-cert app.crt --tls-key app.key`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("listen") && len(o.tcp)+len(o.udp) > 0 {
				o.listen = nil
			}
			return runEcho(c.Context(), p, o)
		},
	}
	c.Flags().StringArrayVar(&o.listen, "listen", []string{"127.0.0.1:3000"}, "address to listen on, may be given several times")
	c.Flags().StringArrayVar(&o.tcp, "tcp", nil, "address to send everything back on that connections bring, may be given several times")
	c.Flags().StringArrayVar(&o.udp, "udp", nil, "address to send datagrams back from, may be given several times")
	c.Flags().StringVar(&o.name, "name", "", "name to answer with (default the host's)")
	c.Flags().StringVar(&o.cert, "tls-cert", "", "certificate, in PEM, with which connections are answered over TLS")
	c.Flags().StringVar(&o.key, "tls-key", "", "private key, in PEM, of that certificate")
	c.Flags().BoolVar(&o.introduced, "proxy-protocol", false, "take only connections that begin with a header of the PROXY protocol")
	c.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	return c
}

// runEcho serves until it is told to stop.
func runEcho(ctx context.Context, p Program, o *echoOptions) error {
	if o.name == "" {
		o.name, _ = os.Hostname() // a backend without a name is one, too
	}
	var secure *tls.Config // nil: without TLS
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return fmt.Errorf("certificate and key (--tls-cert, --tls-key): %w", err)
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close() // also closed by the servers
		}
	}()
	for _, address := range o.listen {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("cannot listen (choose another address with --listen): %w", err)
		}
		if o.introduced {
			l = echoListener{l}
		}
		open = append(open, l)
		fmt.Fprintf(p.Stderr, "echo %q listening on %s\n", o.name, l.Addr())
	}
	raw := &echoRaw{name: o.name, out: p.Stderr, tls: secure, introduced: o.introduced}
	defer raw.close()
	if err := raw.listen(ctx, o.tcp, o.udp); err != nil {
		return err
	}
	stop := p.signals().Stop
	server := echoServer(o.name, secure)
	ended := make(chan error, len(open))
	for _, l := range open {
		go func() {
			if secure != nil {
				ended <- server.ServeTLS(l, "", "")
				return
			}
			ended <- server.Serve(l)
		}()
	}
	select {
	case err := <-ended:
		return errors.Join(err, server.Close())
	case <-stop:
	case <-ctx.Done():
	}
	until, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(until); err != nil {
		return server.Close()
	}
	return nil
}

// echoServer speaks HTTP, over TLS if it is to.
func echoServer(name string, secure *tls.Config) *http.Server {
	server := &http.Server{
		Handler: echoHandler(name), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second, Protocols: new(http.Protocols),
		TLSConfig: secure.Clone(),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(secure != nil)
	server.Protocols.SetUnencryptedHTTP2(secure == nil)
	return server
}

// Echo is what the backend answers.
type Echo struct {
	Name    string `json:"name"`
	Address string `json:"address"` // where the request arrived
	Client  string `json:"client"`
	Method  string `json:"method"`
	Path    string `json:"path"` // as it was sent
	Query   string `json:"query,omitempty"`
	Host    string `json:"host"`
	Proto   string `json:"proto"`
	// TLS is there if the backend itself has answered the handshake.
	TLS *EchoTLS `json:"tls,omitempty"`
	// Headers are the fields but Host, under their canonical names.
	Headers  http.Header `json:"headers"`
	Trailers http.Header `json:"trailers,omitempty"`
	// Body is the content where it is text, Bytes (in base64) where it is not. Both end after 1 MiB; Length counts all of it.
	Body   string `json:"body,omitempty"`
	Bytes  []byte `json:"bytes,omitempty"`
	Length int64  `json:"length"`
}

// EchoTLS is what the client's handshake asked for and got.
type EchoTLS struct {
	ServerName string `json:"serverName"`
	Version    string `json:"version"`
}

// echoHandler answers for a backend of that name.
func echoHandler(name string) http.Handler {
	socket := websocket.Server{Handler: echoMessages} // no handshake function: any Origin is welcome
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Sec-Websocket-Key") != "" {
			socket.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			echoGRPC(name, w, r)
			return
		}
		e := Echo{
			Name: name, Client: r.RemoteAddr, Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
			Host: r.Host, Proto: r.Proto, Headers: r.Header,
		}
		if r.TLS != nil {
			e.TLS = &EchoTLS{ServerName: r.TLS.ServerName, Version: tls.VersionName(r.TLS.Version)}
		}
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			e.Address = local.String()
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, echoBody))
		if err == nil {
			e.Length, err = io.Copy(io.Discard, r.Body)
		}
		if err != nil {
			http.Error(w, "the request's body broke off: "+err.Error(), http.StatusBadRequest)
			return
		}
		e.Length += int64(len(body))
		e.Trailers = r.Trailer
		if utf8.Valid(body) {
			e.Body = string(body)
		} else {
			e.Bytes = body
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Echo-Name", name)
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		_ = enc.Encode(e) // a client that has left is its own problem
	})
}

// frame is one WebSocket message with its type, so that text stays text and bytes stay bytes.
type frame struct {
	data []byte
	kind byte
}

// echoMessages sends every message back until the client ends.
func echoMessages(ws *websocket.Conn) {
	whole := websocket.Codec{
		Marshal: func(v any) ([]byte, byte, error) {
			f, _ := v.(*frame) // nothing else is sent below
			return f.data, f.kind, nil
		},
		Unmarshal: func(data []byte, kind byte, v any) error {
			f, _ := v.(*frame) // nothing else is received below
			f.data, f.kind = data, kind
			return nil
		},
	}
	ws.MaxPayloadBytes = echoBody
	for {
		var f frame
		if whole.Receive(ws, &f) != nil || whole.Send(ws, &f) != nil {
			return
		}
	}
}
