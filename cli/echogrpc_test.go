// echo over HTTP/2, and for gRPC.

package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// echoHTTP2 serves echo over h2c, and a client that speaks nothing else.
func echoHTTP2(t *testing.T) (url string, client *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(echoHandler("cart"))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	transport := &http.Transport{Protocols: s.Config.Protocols}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
	})
	return s.URL, &http.Client{Transport: transport}
}

func TestEchoHTTP2(t *testing.T) {
	url, client := echoHTTP2(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	code, text := do(t, client, req)
	var e Echo
	if err := json.Unmarshal([]byte(text), &e); err != nil || code != http.StatusOK || e.Proto != "HTTP/2.0" || e.Path != "/a" {
		t.Errorf("%d %v %s", code, err, text)
	}
}

// The messages of a stream come back one by one, while it goes on.
func TestEchoGRPC(t *testing.T) {
	url, client := echoHTTP2(t)
	body, messages := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/shop.Cart/Add", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("Te", "trailers")
	req.Header.Set("Grpc-Encoding", "gzip")
	req.Header.Set("Grpc-Timeout", "1H")
	req.Header.Set("User", "ann")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for name, want := range map[string]string{
		"Content-Type": "application/grpc+proto", "Grpc-Encoding": "gzip", "X-Echo-Name": "cart", "X-Echo-Path": "/shop.Cart/Add", "X-Echo-User": "ann",
		"X-Echo-Grpc-Timeout": "", "Grpc-Status": "",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, message := range [][]byte{{0, 0, 0, 0, 2, 'h', 'i'}, {1, 0, 0, 0, 1, 0xff}, {0, 0, 0, 0, 0}} {
		if _, err := messages.Write(message); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(message))
		if _, err := io.ReadFull(res.Body, got); err != nil || !bytes.Equal(got, message) {
			t.Errorf("%v, %v, want %v", got, err, message)
		}
	}
	if err := messages.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil || res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%v, %v, status %q", rest, err, res.Trailer.Get("Grpc-Status"))
	}
}
