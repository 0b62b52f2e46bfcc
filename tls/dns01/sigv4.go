// Signatures of AWS (version 4): https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

package dns01

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// AWSCredentials sign requests.
type AWSCredentials struct {
	AccessKeyID, SecretAccessKey string
	SessionToken                 string // of temporary credentials
}

// sign adds the headers that authenticate a request. The path must be one that needs no escaping, the query be in order.
func (c AWSCredentials) sign(q *http.Request, body []byte, region, service string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	day := stamp[:8]
	q.Header.Set("X-Amz-Date", stamp)
	headers, names := "host:"+q.URL.Host+"\nx-amz-date:"+stamp+"\n", "host;x-amz-date"
	if c.SessionToken != "" {
		q.Header.Set("X-Amz-Security-Token", c.SessionToken)
		headers += "x-amz-security-token:" + c.SessionToken + "\n"
		names += ";x-amz-security-token"
	}
	query := strings.ReplaceAll(q.URL.Query().Encode(), "+", "%20")
	canonical := strings.Join([]string{q.Method, q.URL.EscapedPath(), query, headers, names, hash(body)}, "\n")
	scope := strings.Join([]string{day, region, service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, hash([]byte(canonical))}, "\n")
	key := []byte("AWS4" + c.SecretAccessKey)
	for _, part := range [...]string{day, region, service, "aws4_request"} {
		key = mac(key, part)
	}
	q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.AccessKeyID+"/"+scope+", SignedHeaders="+names+", Signature="+hex.EncodeToString(mac(key, text)))
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}
