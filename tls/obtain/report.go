// Statuses of Certificates and issuers, with cert-manager's conditions.

package obtain

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// Reports gives the status of every Certificate and issuer of the last Want's plan.
func (e *Engine) Reports() []gateway.Report {
	e.mu.Lock()
	plan := e.plan
	e.mu.Unlock()
	if plan == nil {
		return nil
	}
	var list []gateway.Report
	for _, i := range plan.Issuers {
		if i.Object != nil {
			list = append(list, e.issuerReport(i))
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := map[object.Key]bool{}
	for _, c := range plan.Certificates {
		seen[c.Object.Key] = true
		list = append(list, e.certificateReport(c))
	}
	for _, s := range e.states {
		if s.want != nil && s.want.Hostname != "" && !seen[s.want.Object.Key] {
			list = append(list, e.certificateReport(s.want))
		}
	}
	return list
}

func ready(status bool, reason, message string) []gateway.Condition {
	c := gateway.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: reason, Message: message}
	if status {
		c.Status = metav1.ConditionTrue
	}
	return []gateway.Condition{c}
}

// issuerReport says whether an issuer can issue.
func (e *Engine) issuerReport(i *issue.Issuer) gateway.Report {
	r := gateway.Report{Object: i.Object}
	switch {
	case i.Unusable != "":
		r.Conditions = ready(false, "NotSupported", i.Unusable)
	case i.Spec.ACME != nil:
		uri, asked, err := e.registration(i)
		r.Fields = map[string]any{"acme": map[string]any{"uri": uri, "lastRegisteredEmail": i.Spec.ACME.Email}}
		switch {
		case err != nil:
			r.Conditions = ready(false, "ErrRegisterACMEAccount", err.Error())
		case !asked:
			r.Conditions = ready(true, "NotRegistered", "The account is registered with the first order")
		default:
			r.Conditions = ready(true, "ACMEAccountRegistered", "The ACME account was registered with the ACME server")
		}
	case i.Spec.CA != nil:
		if problem := e.failureBy(i); problem != "" {
			r.Conditions = ready(false, "ErrGetKeyPair", problem)
		} else {
			r.Conditions = ready(true, "KeyPairVerified", "Signing CA verified")
		}
	default:
		r.Conditions = ready(true, "IsReady", "Certificates are signed by their own keys")
	}
	return r
}

// failureBy is the last error of a certificate of an issuer of our own, or "".
func (e *Engine) failureBy(i *issue.Issuer) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.states {
		if s.want != nil && s.want.Issuer != nil && s.want.Issuer.Key == i.Key && s.lastError != "" {
			return s.lastError
		}
	}
	return ""
}

// certificateReport says what became of a Certificate. The caller holds the lock.
func (e *Engine) certificateReport(c *issue.Certificate) gateway.Report {
	r := gateway.Report{Object: c.Object}
	if c.Given != nil {
		r.Conditions = ready(false, "SecretGiven", c.Secret.String()+" is given in "+c.Given.Position.String()+" and is used as it is")
		return r
	}
	s := e.states[c.ID()]
	if s == nil {
		r.Conditions = ready(false, "Pending", "The certificate is not looked after yet")
		return r
	}
	r.Fields = map[string]any{}
	if h := s.held; h != nil {
		r.Fields["notBefore"] = timestamp(h.leaf.NotBefore)
		r.Fields["notAfter"] = timestamp(h.leaf.NotAfter)
		r.Fields["renewalTime"] = timestamp(h.renewal(c))
	}
	if s.failures > 0 {
		r.Fields["failedIssuanceAttempts"] = int64(s.failures)
		if !s.lastTry.IsZero() {
			r.Fields["lastFailureTime"] = timestamp(s.lastTry)
		}
	}
	r.Conditions = s.conditions(c, time.Now())
	return r
}

// conditions is Ready, and Issuing while something is going on or was tried in vain.
func (s *state) conditions(c *issue.Certificate, now time.Time) []gateway.Condition {
	var why []string
	if c.Unusable != "" {
		why = append(why, c.Unusable)
	}
	if s.failures > 0 && s.lastError != "" {
		why = append(why, s.lastError, "next attempt "+timestamp(s.next))
	}
	reason := strings.Join(why, "; ")
	var list []gateway.Condition
	switch {
	case s.held == nil && reason != "":
		list = ready(false, "Failed", reason)
	case s.held == nil:
		list = ready(false, "Pending", "The certificate is being obtained")
	case now.After(s.held.leaf.NotAfter):
		list = ready(false, "Expired", join("The certificate expired on "+timestamp(s.held.leaf.NotAfter), reason))
	case c.Issuer != nil && s.held.request != requestDigest(c):
		list = ready(false, "IncorrectCertificate", join("The certificate does not have what is asked for now; another is being obtained", reason))
	default:
		list = ready(true, "Ready", join("Certificate is up to date and has not expired", reason))
	}
	if s.busy || s.failures > 0 {
		issuing := gateway.Condition{Type: "Issuing", Status: metav1.ConditionTrue, Reason: "InProgress", Message: "The certificate is being obtained"}
		if !s.busy {
			issuing.Status, issuing.Reason, issuing.Message = metav1.ConditionFalse, "Failed", reason
		}
		list = append(list, issuing)
	}
	return list
}

func join(text, more string) string {
	if more == "" {
		return text
	}
	return text + ": " + more
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
