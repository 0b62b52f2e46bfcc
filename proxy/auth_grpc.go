// The ExternalAuth filter over gRPC: the question and the answer of Envoy's authorization service (extauth), as one HTTP/2 exchange with the backend.
//
//	OK                               go on; the answer's changes are made to the request and, later, to the response
//	denied                           the client gets the status (403 if none is named), header and content of the answer
//	no answer, a grpc-status but 0,
//	an answer that is malformed or
//	cannot be carried out            503
//
// The service is shown all fields or those that allowedHeaders names, beside method, path, host and addresses.

package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/extauth"
)

var (
	methodPost      = []byte("POST")
	checkPath       = []byte(extauth.Path)
	nameGRPCTimeout = []byte("Grpc-Timeout")
)

// compileCheck adds to a filter what Check needs.
func compileCheck(a *auth, source *gateway.ExternalAuth, r *rule) {
	a.grpc = true
	for _, name := range source.Spec.GRPCAuthConfig.AllowedRequestHeaders {
		a.shown = append(a.shown, strings.ToLower(name))
	}
	ref := &source.Spec.BackendRef
	a.authority = []byte(string(ref.Name) + "." + r.source.Object.Namespace)
	switch t := source.Target; {
	case t.TLS != nil && t.TLS.Hostname != "":
		a.authority = []byte(t.TLS.Hostname)
	case ref.Namespace != nil:
		a.authority = []byte(string(ref.Name) + "." + string(*ref.Namespace))
	}
}

// check asks the service, and returns 0 if the request may pass. Else it has been answered, with the status that is returned.
func (c *call) check(a *auth) int {
	var kept []byte
	if a.body > 0 {
		var status int
		if kept, status = c.keep(a.body); status != 0 {
			return status
		}
	}
	t := backend.Timeouts{Request: c.authDeadline()}
	content := c.inquire(a, kept).AppendFrame(nil)
	var ask message.Head
	ask.Reset()
	ask.Method, ask.Scheme, ask.Authority, ask.Path = methodPost, schemeHTTP, a.authority, checkPath
	if a.secure {
		ask.Scheme = schemeHTTPS
	}
	ask.Length, ask.Trailers = int64(len(content)), true
	ask.Fields.Add(nameContentType, contentGRPC)
	ask.Fields.Add(nameGRPCTimeout, append(strconv.AppendInt(nil, max(time.Until(t.Request).Milliseconds(), 1), 10), 'm'))
	var res backend.Response
	if err := a.backend.RoundTrip(inquiry{c.x}, &ask, (*message.Text)(&content), t, &res); err != nil {
		return c.unauthorized(err)
	}
	answer, err := readAnswer(&res)
	res.Finish()
	switch {
	case err != nil:
		return c.refuse(statusUnavailable, "the authorization service gave no valid answer", err)
	case !answer.Allowed:
		return c.deny(answer)
	}
	c.amend(answer)
	return 0
}

// inquire tells of the client's request.
func (c *call) inquire(a *auth, body []byte) *extauth.Request {
	req := c.req
	ask := &extauth.Request{
		Method: req.Method, Path: req.Path, Host: req.Authority, Scheme: c.scheme(), Protocol: c.peer.Protocol,
		Size: max(req.Length, 0), Body: body, Time: c.x.Arrived(), Source: c.peer.Remote, Destination: c.peer.Local, Principal: c.principal(),
	}
	if req.HasQuery {
		ask.Path = slices.Concat(req.Path, []byte("?"), req.Query)
	}
	if ask.Protocol == "" {
		ask.Protocol = "HTTP/1." + strconv.Itoa(req.Minor)
	}
	show := func(name string, value []byte) {
		if len(a.shown) == 0 || slices.Contains(a.shown, name) {
			ask.Headers = append(ask.Headers, extauth.Header{Name: []byte(name), Value: value})
		}
	}
	var seen []string
	for i := range req.Fields.Len() {
		name := strings.ToLower(string(req.Fields.At(i).Name))
		if slices.Contains(seen, name) {
			continue
		}
		seen = append(seen, name)
		value, _ := req.Fields.Combined(name, nil)
		show(name, value)
	}
	if req.Length == message.LengthUnknown {
		ask.Size = -1
		if c.stored != nil {
			ask.Size = int64(len(body))
		}
	} else if req.Length >= 0 {
		show("content-length", strconv.AppendInt(nil, req.Length, 10))
	}
	if len(req.Upgrade) > 0 {
		show("upgrade", req.Upgrade)
	}
	// As Envoy's are, beside the attributes of the same content: rules of services look at them.
	show(":method", req.Method)
	show(":path", ask.Path)
	show(":authority", req.Authority)
	show(":scheme", []byte(ask.Scheme))
	return ask
}

// principal is whom the client's certificate names, if a listener asked for one and trusts it: its first URI, or DNS name, or its subject.
func (c *call) principal() string {
	if c.peer.TLS == nil || len(c.peer.TLS.Chains) == 0 {
		return ""
	}
	leaf := c.peer.TLS.Chains[0][0]
	switch {
	case len(leaf.URIs) > 0:
		return leaf.URIs[0].String()
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	}
	return leaf.Subject.String()
}

// readAnswer reads the response to a call to its end.
func readAnswer(res *backend.Response) (*extauth.Answer, error) {
	if res.Head.Status != statusOK || res.Body == nil || !isGRPC(&res.Head) || res.Head.Fields.Has("grpc-status") {
		return nil, fmt.Errorf("status %d, content-type %q, grpc-status %q %q", res.Head.Status, res.Head.Fields.Get("content-type"),
			res.Head.Fields.Get("grpc-status"), res.Head.Fields.Get("grpc-message"))
	}
	var frame []byte
	for {
		p, err := res.Body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(frame)+len(p) > extauth.MaxAnswer {
			return nil, fmt.Errorf("the answer is longer than %d bytes", extauth.MaxAnswer)
		}
		frame = append(frame, p...)
	}
	trailers := res.Body.Trailers()
	if trailers == nil {
		return nil, errors.New("the answer has no grpc-status")
	}
	if code := readGRPCStatus(trailers); code != grpcOK {
		return nil, fmt.Errorf("grpc-status %s %q", code, trailers.Get("grpc-message"))
	}
	return extauth.ParseFrame(frame)
}

// deny answers with what the service says.
func (c *call) deny(answer *extauth.Answer) int {
	const why = "the authorization service refused"
	if answer.Status == 0 && len(answer.Body) == 0 && len(answer.Denied) == 0 {
		return c.refuse(statusForbidden, why, nil)
	}
	c.why = why
	h := &c.own
	h.Reset()
	if h.Status = answer.Status; h.Status == 0 {
		h.Status = statusForbidden
	}
	for _, f := range answer.Denied {
		if !slices.ContainsFunc(reserved, func(name string) bool { return message.Equal(f.Name, name) }) {
			h.Fields.Add(f.Name, f.Value)
		}
	}
	c.permit(h)
	if h.Status == statusNoContent || h.Status == statusNotModified {
		return c.respond(h, nil)
	}
	if len(answer.Body) > 0 && !h.Fields.Has("content-type") {
		h.Fields.Add(nameContentType, plainText)
	}
	h.Length, c.txt = int64(len(answer.Body)), answer.Body
	return c.respond(h, &c.txt)
}

// amend makes the changes of an answer to the request, and keeps those of the response.
func (c *call) amend(answer *extauth.Answer) {
	for _, name := range answer.Remove {
		if lower := strings.ToLower(string(name)); !slices.Contains(reserved, lower) {
			c.req.Fields.Remove(lower)
			c.vouched = append(c.vouched, lower)
		}
	}
	change(&c.req.Fields, answer.Request)
	for _, f := range answer.Request {
		c.vouched = append(c.vouched, strings.ToLower(string(f.Name)))
	}
	c.granted = append(c.granted, answer.Response...)
}

// change makes changes, but for what belongs to the wire.
func change(fields *message.Fields, list []extauth.Change) {
	for _, f := range list {
		lower := string(bytes.ToLower(f.Name))
		if slices.Contains(reserved, lower) {
			continue
		}
		switch has := fields.Has(lower); {
		case f.Action == extauth.Add, f.Action == extauth.Complete && !has:
			fields.Add(f.Name, f.Value)
		case f.Action == extauth.Set, f.Action == extauth.Replace && has:
			fields.Set(f.Name, f.Value)
		}
	}
}
