// gRPC: which requests are, how GRPCRoutes match them, and answers of our own in its terms.
//
// A gRPC call is a POST over HTTP/2 whose content-type begins with application/grpc; its outcome is the field grpc-status, in the trailers or,
// where there is nothing else to say, in the header ("trailers-only", always with status 200). Clients make a grpc-status of any
// other answer by a table of their own, and say of most that they are unknown. So where a call was for a GRPCRoute, or for
// nobody on a listener or socket that has some, errors are told like this:
//
//	what HTTP would be told              grpc-status
//	404 no rule, no listener             UNIMPLEMENTED
//	500 a rule or backendRef is invalid  UNAVAILABLE
//	502, 503                             UNAVAILABLE
//	504                                  DEADLINE_EXCEEDED
//	400 the body broke off               INTERNAL
//
// Logs give both; what is counted by code is what was sent, which is 200. What is not gRPC by its content-type gets HTTP's
// statuses from GRPCRoutes, too: a browser can make nothing of the others.

package proxy

import (
	"math"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/router"
)

// grpcCode is a value of grpc-status.
type grpcCode uint8

// The codes that the proxy itself gives or counts.
const (
	grpcOK               grpcCode = 0
	grpcDeadlineExceeded grpcCode = 4
	grpcUnimplemented    grpcCode = 12
	grpcInternal         grpcCode = 13
	grpcUnavailable      grpcCode = 14

	grpcCodes          = 17        // their number
	grpcNone  grpcCode = grpcCodes // no grpc-status came, or one that is not a code
)

// String is the name of the code, as the label of a metric and in logs.
func (c grpcCode) String() string {
	return [grpcCodes + 1]string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED", "none",
	}[c]
}

var (
	nameGRPCStatus  = []byte("Grpc-Status")
	nameGRPCMessage = []byte("Grpc-Message")
	contentGRPC     = []byte("application/grpc")
)

// isGRPC reports whether a request's content-type is application/grpc, with or without a suffix (+proto), parameters, or "-web".
func isGRPC(h *message.Head) bool {
	value := h.Fields.Get("content-type")
	n := len(contentGRPC)
	if len(value) < n || !message.Equal(value[:n], string(contentGRPC)) {
		return false
	}
	return len(value) == n || strings.IndexByte("+;- \t", value[n]) >= 0
}

// grpcMatch translates a match of a GRPCRoute.
func grpcMatch(m *gatewayv1.GRPCRouteMatch) router.Match {
	out := router.Match{PathType: router.GRPC}
	if m.Method != nil {
		out.Call = router.Call{
			Service: value(m.Method.Service), Method: value(m.Method.Method),
			Regex: value(m.Method.Type) == gatewayv1.GRPCMethodMatchRegularExpression,
		}
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, router.Predicate{
			Name: string(h.Name), Value: h.Value, Regex: value(h.Type) == gatewayv1.GRPCHeaderMatchRegularExpression,
		})
	}
	return out
}

// grpcStatus gives the grpc-status for an HTTP status of our own, or false if there is none: then it is told as it is.
func grpcStatus(status int) (grpcCode, bool) {
	switch status {
	case statusNotFound:
		return grpcUnimplemented, true
	case statusInternalError, statusBadGateway, statusUnavailable:
		return grpcUnavailable, true
	case statusTimeout:
		return grpcDeadlineExceeded, true
	case statusBadRequest:
		return grpcInternal, true
	}
	return grpcNone, false
}

// grpcDigits are the values of grpc-status that we send.
var grpcDigits = [grpcCodes]string{
	grpcDeadlineExceeded: "4", grpcUnimplemented: "12", grpcInternal: "13", grpcUnavailable: "14",
}

// refuseGRPC answers with a grpc-status and nothing else. text is what HTTP would be told; it needs no percent-encoding.
func (c *call) refuseGRPC(code grpcCode, text []byte) int {
	c.own.Reset()
	c.own.Status, c.own.Length = statusOK, message.LengthNone
	c.own.Fields.Add(nameContentType, contentGRPC)
	c.own.Fields.Add(nameGRPCStatus, []byte(grpcDigits[code]))
	if n := len(text); n > 0 {
		c.own.Fields.Add(nameGRPCMessage, text[:n-1]) // without its line end
	}
	c.count(code)
	return c.respond(&c.own, nil)
}

// deadline is when a call's client gives up (the field grpc-timeout), if that is before end; zero: never.
func (c *call) deadline(end time.Time) time.Time {
	timeout, ok := parseGRPCTimeout(c.req.Fields.Get("grpc-timeout"))
	if !ok {
		return end
	}
	if own := c.x.Arrived().Add(timeout); end.IsZero() || own.Before(end) {
		return own
	}
	return end
}

// parseGRPCTimeout reads a value of grpc-timeout: at most 8 digits and a unit. One that is malformed bounds nothing; it is for the
// backend to complain.
func parseGRPCTimeout(text []byte) (time.Duration, bool) {
	n := len(text) - 1
	if n < 1 || n > 8 {
		return 0, false
	}
	var unit time.Duration
	switch text[n] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	var count int64
	for _, d := range text[:n] {
		if d < '0' || d > '9' {
			return 0, false
		}
		count = count*10 + int64(d-'0')
	}
	if count > math.MaxInt64/int64(unit) {
		return math.MaxInt64, true
	}
	return time.Duration(count * int64(unit)), true
}

// respondGRPC forwards the response to a call and counts what became of it.
func (c *call) respondGRPC() int {
	body := c.res.Body
	c.reply.code = readGRPCStatus(&c.res.Head.Fields)
	if body != nil && c.reply.code == grpcNone {
		c.reply.Body = body
		body = &c.reply
	}
	status := c.respond(&c.res.Head, body)
	c.count(c.reply.code)
	c.reply = reply{}
	return status
}

// count counts the outcome of a call.
func (c *call) count(code grpcCode) {
	c.called, c.code = true, code
	c.series().called(c.conn.shard, code)
}

// reply is a response's body that keeps the grpc-status of its trailers. Like every body it belongs to one goroutine.
type reply struct {
	message.Body
	code grpcCode
}

// Trailers implements message.Body.
func (r *reply) Trailers() *message.Fields {
	t := r.Body.Trailers()
	if t != nil {
		r.code = readGRPCStatus(t)
	}
	return t
}

// readGRPCStatus reads the field grpc-status.
func readGRPCStatus(f *message.Fields) grpcCode {
	text := f.Get("grpc-status")
	if len(text) == 0 || len(text) > 2 {
		return grpcNone
	}
	var code grpcCode
	for _, d := range text {
		if d < '0' || d > '9' {
			return grpcNone
		}
		code = code*10 + grpcCode(d-'0')
	}
	return min(code, grpcNone)
}
