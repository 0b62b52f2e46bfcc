// What the HTTP APIs of DNS services have in common.

package dns01

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// maxAnswer bounds what is read of an API's answer.
const maxAnswer = 1 << 20

// statusError is an answer of an API that is no success.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the service answered %d %s: %s", e.status, http.StatusText(e.status), e.text)
}

// isStatus says whether an API answered with a status.
func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.status == status
}

// call sends a request with a body, if there is one, and gives what is answered.
func call(ctx context.Context, c *http.Client, method, url string, header http.Header, body []byte, sign func(*http.Request, []byte)) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	if sign != nil {
		sign(request, body)
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, &statusError{response.StatusCode, excerpt(text)}
	}
	return text, nil
}

// callJSON is call for an API that speaks JSON. In and out may be nil.
func callJSON(ctx context.Context, c *http.Client, method, url string, header http.Header, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		header = header.Clone()
		header.Set("Content-Type", "application/json")
	}
	text, err := call(ctx, c, method, url, header, body, nil)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the service's answer to %s %s is not what its API promises: %w", method, url, err)
	}
	return nil
}

// excerpt is as much of an answer as an error message bears.
func excerpt(text []byte) string {
	const words = 300
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), words)]), "")), " ")
}

// unquote takes the quotes off a TXT record's content.
func unquote(text string) string { return strings.Trim(text, `"`) }
