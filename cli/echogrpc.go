// echo for gRPC: every message of a call comes back, whatever the method and whatever is in it.
//
// Nothing is decoded, so that no schema is needed: for a unary method whose answer has the type of its request that is an echo, and for
// streams it is one, too, message by message. What else was received is told in metadata:
//
//	call of /shop.Cart/Add with metadata user: ann     answer: x-echo-name: cart, x-echo-path: /shop.Cart/Add, x-echo-user: ann

package cli

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

// echoGRPC answers a call (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func echoGRPC(name string, w http.ResponseWriter, r *http.Request) {
	out := w.Header()
	out.Set("Content-Type", r.Header.Get("Content-Type"))
	out.Set("X-Echo-Name", name)
	out.Set("X-Echo-Path", r.URL.EscapedPath())
	out.Set("X-Echo-Host", r.Host)
	for field, values := range r.Header {
		if !strings.HasPrefix(field, "Grpc-") && field != "Content-Type" && field != "Te" {
			out["X-Echo-"+field] = values
		}
	}
	if encoding := r.Header.Get("Grpc-Encoding"); encoding != "" {
		out.Set("Grpc-Encoding", encoding) // messages keep the compression that they came with
	}
	control := http.NewResponseController(w)
	if err := control.Flush(); err != nil {
		return // the client has left
	}
	status, message := "0", ""
	if err := echoPieces(w, control, r.Body); err != nil {
		status, message = "13", "the call broke off"
	}
	out.Set(http.TrailerPrefix+"Grpc-Status", status)
	if message != "" {
		out.Set(http.TrailerPrefix+"Grpc-Message", message)
	}
}

// echoPieces sends everything back as it comes.
func echoPieces(w io.Writer, control *http.ResponseController, body io.Reader) error {
	p := make([]byte, 32<<10)
	for {
		n, err := body.Read(p)
		if n > 0 {
			if _, err := w.Write(p[:n]); err != nil {
				return err
			}
			if err := control.Flush(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
