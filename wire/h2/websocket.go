// The handshake of WebSockets, as HTTP/1 has it and HTTP/2 and HTTP/3 do not (RFC 6455 section 4, RFC 8441).

package h2

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 says so
	"encoding/base64"
)

// NewWebSocketKey makes a Sec-WebSocket-Key.
func NewWebSocketKey() string {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// WebSocketAccept is the Sec-WebSocket-Accept that answers a key.
func WebSocketAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 says so
	return base64.StdEncoding.EncodeToString(sum[:])
}
