// A limit on orders: Let's Encrypt admits 300 new orders in three hours and an account; staying below it for every server keeps a gateway with
// very many hostnames from being locked out.

package obtain

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"
)

// An account may place orderBurst orders at once, and one more every orderInterval: 290 in the first three hours.
const (
	orderBurst    = 50
	orderInterval = 45 * time.Second
)

// orderLimits has a bucket for each account.
type orderLimits struct {
	mu        sync.Mutex
	byAccount map[string]*bucket
}

// bucket is when the next order is free of waiting: orderBurst intervals before now at the earliest.
type bucket struct{ next time.Time }

// wait blocks until the account may place an order.
func (l *orderLimits) wait(ctx context.Context, account string) error {
	l.mu.Lock()
	b := l.byAccount[account]
	if b == nil {
		b = &bucket{}
		l.byAccount[account] = b
	}
	now := time.Now()
	if earliest := now.Add(-orderBurst * orderInterval); b.next.Before(earliest) {
		b.next = earliest
	}
	b.next = b.next.Add(orderInterval)
	wait := b.next.Sub(now)
	l.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && now.Add(wait).After(deadline) {
		l.mu.Lock()
		b.next = b.next.Add(-orderInterval)
		l.mu.Unlock()
		return homeError{fmt.Errorf("too many orders for the account: the next may be placed in %v", wait.Round(time.Second))}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// trusting is a client's configuration with roots of its own.
func trusting(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}
