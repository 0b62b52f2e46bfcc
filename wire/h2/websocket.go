// The handshake of WebSockets, as HTTP/1 has it and HTTP/2 and HTTP/3 do not (RFC 6455 section 4, RFC 8441): they make the key and check the answer
// themselves, so that a backend which speaks HTTP/1 can be asked for one.

package h2

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
)

// WebSocketKeySize is the length of a Sec-WebSocket-Key: base64 of 16 bytes.
const WebSocketKeySize = 24

// NewWebSocketKey makes a Sec-WebSocket-Key (RFC 6455 section 4.1).
func NewWebSocketKey() (key [WebSocketKeySize]byte) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	base64.StdEncoding.Encode(key[:], nonce[:])
	return key
}

// WebSocketAccept is the Sec-WebSocket-Accept that answers a key (RFC 6455 section 4.2.2); SHA-1 keeps nothing secret there.
func WebSocketAccept(key []byte) string {
	sum := sha1.Sum(append(append(make([]byte, 0, 2*64), key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.EncodeToString(sum[:])
}
