// Whatever bytes a client sends, the connection ends without a fault of ours.

package h2

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

func FuzzServer(f *testing.F) {
	k := &rawClient{}
	k.enc = hpack.NewEncoder(&k.head)
	get := k.headers(1, true, usual()...)
	post := k.headers(3, false, usual("content-length: 3")...)
	settings := DefaultSettings()
	f.Add(settings.Append(nil, false))
	f.Add(append(settings.Append(nil, false), get...))
	f.Add(append(append(settings.Append(nil, false), post...), AppendData(nil, 3, []byte("abc"), true)...))
	f.Add(append(append(settings.Append(nil, false), get...), AppendResetStream(AppendWindowUpdate(nil, 1, 5), 1, Cancel)...))
	f.Add(append(append(settings.Append(nil, false), post...), append(AppendPing(nil, false, [8]byte{}), k.headers(3, true, "x: y")...)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		var log bytes.Buffer
		s := NewServer(Options{
			Handler: serveFunc{func(x wire.Exchange) {
				p, err := readBody(x.Body())
				if err != nil {
					x.Abort(message.ClientGone)
					return
				}
				_ = answer(x, 200, string(p))
			}, nil},
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeConn(server, netip.AddrPort{}, nil)
		}()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		_, _ = client.Write(append([]byte(Preface), in...)) // the server may have had enough
		client.Close()
		<-done
		if log.Len() > 0 {
			t.Fatal(log.String())
		}
	})
}
