// Writing heads. Whoever made a Head has checked its names and values (the parser, or admission for those from filters): they are written
// as they are.

package wire

import (
	"strconv"

	"github.com/wicketgate/wicketgate/message"
)

// AppendRequestHead appends a request's head in origin form (asterisk form for OPTIONS *, authority form for CONNECT): request line, Host,
// h.Fields, and what h.Length, h.Upgrade, h.Trailers and h.ExpectContinue ask for. A body of unknown length is announced as chunked.
func AppendRequestHead(dst []byte, h *message.Head, keepAlive bool) []byte {
	dst = append(append(dst, h.Method...), ' ')
	if len(h.Path) == 0 {
		dst = append(dst, h.Authority...)
	}
	dst = append(dst, h.Path...)
	if h.HasQuery {
		dst = append(append(dst, '?'), h.Query...)
	}
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(append(dst, h.Authority...), '\r', '\n')
	dst = appendFields(dst, &h.Fields)
	switch {
	case h.Length >= 0:
		dst = appendLength(dst, h.Length)
	case h.Length == message.LengthUnknown:
		dst = append(dst, chunkedField...)
	}
	if h.ExpectContinue {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	switch {
	case len(h.Upgrade) > 0:
		dst = appendUpgrade(dst, h)
	case h.Trailers && keepAlive:
		dst = append(dst, "TE: trailers\r\nConnection: TE\r\n"...)
	case h.Trailers:
		dst = append(dst, "TE: trailers\r\nConnection: TE, close\r\n"...)
	case !keepAlive:
		dst = append(dst, closeField...)
	}
	return append(dst, '\r', '\n')
}

// AppendResponseHead appends a response's head: status line, h.Fields, then the fields for f, which says how the body will be
// framed and whether the connection persists. minor is the request's minor version: HTTP/1.0 clients are told that a connection persists, others that it
// does not. With f.Body == BodyNone an h.Length >= 0 is still told (HEAD, 304).
func AppendResponseHead(dst []byte, h *message.Head, f Framing, minor int) []byte {
	return appendResponseHead(dst, h, f, minor, nil)
}

// appendResponseHead is AppendResponseHead with a Date field's line, or nil.
func appendResponseHead(dst []byte, h *message.Head, f Framing, minor int, date []byte) []byte {
	dst = append(appendStatusLine(dst, h), date...)
	dst = appendFields(dst, &h.Fields)
	switch {
	case f.Body == BodyLength:
		dst = appendLength(dst, f.Length)
	case f.Body == BodyChunked:
		dst = append(dst, chunkedField...)
	case f.Body == BodyNone && h.Length >= 0 && h.Status >= 200 && h.Status != 204:
		dst = appendLength(dst, h.Length)
	}
	switch {
	case h.Status == 101:
		dst = appendUpgrade(dst, h)
	case h.Status < 200:
	case !f.KeepAlive:
		dst = append(dst, closeField...)
	case minor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, '\r', '\n')
}

const (
	chunkedField = "Transfer-Encoding: chunked\r\n"
	closeField   = "Connection: close\r\n"
)

func appendFields(dst []byte, fields *message.Fields) []byte {
	for i := range fields.Len() {
		f := fields.At(i)
		dst = append(append(dst, f.Name...), ':', ' ')
		dst = append(append(dst, f.Value...), '\r', '\n')
	}
	return dst
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	return append(strconv.AppendInt(dst, n, 10), '\r', '\n')
}

func appendUpgrade(dst []byte, h *message.Head) []byte {
	dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
	return append(append(dst, h.Upgrade...), '\r', '\n')
}

// appendStatusLine writes the reason that the response came with, else the usual one.
func appendStatusLine(dst []byte, h *message.Head) []byte {
	if h.Status == 200 && len(h.Reason) == 0 {
		return append(dst, "HTTP/1.1 200 OK\r\n"...)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(strconv.AppendInt(dst, int64(h.Status), 10), ' ')
	if len(h.Reason) > 0 {
		dst = append(dst, h.Reason...)
	} else {
		dst = append(dst, StatusText(h.Status)...)
	}
	return append(dst, '\r', '\n')
}
