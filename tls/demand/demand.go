// Package demand decides whether a certificate may be obtained for a name only because a client asks for it. An application is asked, at a URL that a
// flag names:
//
//	client: ClientHello for shop.customer.example
//	   -> GET http://127.0.0.1:5555/allowed?domain=shop.customer.example
//	   <- 200: obtained; 403 or 404: refused; anything else, or nothing in time: refused for now
//
// Anybody may send any name, so everything here has a bound: how many names are admitted in an hour, how often and how long the application is asked, and
// how many refusals are remembered.
package demand

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultHourly is how many names are admitted in an hour where nothing else is asked for.
const DefaultHourly = 60

// The bounds that are fixed.
const (
	askTimeout     = 5 * time.Second
	asksASecond    = 20
	asksAtOnce     = 16
	refusedFor     = time.Minute      // a refusal is not asked about again
	failedFor      = 10 * time.Second // nor is a name after the application failed to answer
	maxRemembered  = 10_000
	reportInterval = 10 * time.Second // between two lines in the log that say the same
)

// Verdict is what became of a name. Its text is a metric's label.
type Verdict string

// The verdicts. Only Admitted lets a certificate be obtained.
const (
	Admitted Verdict = "admitted"
	Refused  Verdict = "refused" // the application said no
	Failed   Verdict = "failed"  // it did not answer in time, or neither yes nor no
	Busy     Verdict = "busy"    // it is being asked too often
	Limited  Verdict = "limited" // the hour's names are used up
)

// Options configure a Gate.
type Options struct {
	// URL is what is asked; the parameter domain is added to its query.
	URL *url.URL
	// Hourly is how many names are admitted in any hour; zero means DefaultHourly.
	Hourly int
	// Dial connects to the application.
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	Log       *slog.Logger
	Metrics   prometheus.Registerer
	UserAgent string
}

// Gate admits names. Its methods may be called concurrently.
type Gate struct {
	opt      Options
	client   *http.Client
	verdicts *prometheus.CounterVec
	slots    chan struct{}

	mu         sync.Mutex
	inquiries  map[string]*inquiry
	remembered map[string]memory
	hour       window
	second     window
	told       map[Verdict]time.Time
}

// inquiry is a question that several may wait for the answer of.
type inquiry struct {
	done    chan struct{}
	verdict Verdict
}

// memory is a verdict that holds until a time.
type memory struct {
	verdict Verdict
	until   time.Time
}

// New makes a Gate.
func New(o Options) *Gate {
	if o.Hourly == 0 {
		o.Hourly = DefaultHourly
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gate{
		opt: o, slots: make(chan struct{}, asksAtOnce), inquiries: map[string]*inquiry{}, remembered: map[string]memory{}, told: map[Verdict]time.Time{},
		hour: newWindow(o.Hourly, time.Hour), second: newWindow(asksASecond, time.Second),
		client: &http.Client{
			Timeout:       askTimeout,
			Transport:     &http.Transport{DialContext: o.Dial, DisableKeepAlives: true, TLSHandshakeTimeout: askTimeout},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the flag names who decides
		},
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wicketgate_certificates_on_demand_total", Help: "Names that clients asked for and that have no certificate, by what became of them.",
		}, []string{"verdict"}),
	}
	for _, v := range [...]Verdict{Admitted, Refused, Failed, Busy, Limited} {
		g.verdicts.WithLabelValues(string(v))
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(g.verdicts)
	}
	return g
}

// Admit says whether a certificate may be obtained for a name, which must be a host name in lower case. Those that are admitted count towards the
// hour. Concurrent calls for one name ask once. It blocks while the application is asked, but not beyond ctx.
func (g *Gate) Admit(ctx context.Context, name string) Verdict {
	now := time.Now()
	g.mu.Lock()
	if m, ok := g.remembered[name]; ok && now.Before(m.until) {
		g.mu.Unlock()
		return g.tell(m.verdict, name, nil)
	}
	if other := g.inquiries[name]; other != nil {
		g.mu.Unlock()
		select {
		case <-other.done:
			return other.verdict
		case <-ctx.Done():
			return Failed
		}
	}
	if g.hour.full(now) {
		g.mu.Unlock()
		return g.tell(Limited, name, nil)
	}
	i := &inquiry{done: make(chan struct{})}
	g.inquiries[name] = i
	g.mu.Unlock()

	v, err := g.ask(ctx, name)
	g.mu.Lock()
	if v == Admitted && !g.hour.take(time.Now()) {
		v = Limited
	}
	g.remember(name, v, time.Now())
	i.verdict = v
	delete(g.inquiries, name)
	g.mu.Unlock()
	close(i.done)
	return g.tell(v, name, err)
}

// Renew says whether a certificate may be renewed that was obtained for a name. It does not count towards the hour.
func (g *Gate) Renew(ctx context.Context, name string) Verdict {
	v, err := g.ask(ctx, name)
	return g.tell(v, name, err)
}

// ask asks the application.
func (g *Gate) ask(ctx context.Context, name string) (Verdict, error) {
	g.mu.Lock()
	free := g.second.take(time.Now())
	g.mu.Unlock()
	if !free {
		return Busy, nil
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		return Busy, nil
	}
	at := *g.opt.URL
	query := at.Query()
	query.Set("domain", name)
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return Failed, err
	}
	request.Header.Set("User-Agent", g.opt.UserAgent)
	response, err := g.client.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // the URL may have a secret in it
		}
		return Failed, err
	}
	_ = response.Body.Close() // the status is all that counts
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return Admitted, nil
	case status >= 400 && status < 500 && status != http.StatusTooManyRequests:
		return Refused, nil
	}
	return Failed, fmt.Errorf("it answered %s", response.Status)
}

// remember keeps a refusal for a while. The caller holds the lock.
func (g *Gate) remember(name string, v Verdict, now time.Time) {
	var keep time.Duration
	switch v {
	case Refused:
		keep = refusedFor
	case Failed:
		keep = failedFor
	default:
		return
	}
	if len(g.remembered) >= maxRemembered {
		for n, m := range g.remembered {
			if !now.Before(m.until) {
				delete(g.remembered, n)
			}
		}
	}
	if len(g.remembered) < maxRemembered {
		g.remembered[name] = memory{v, now.Add(keep)}
	}
}

// tell counts a verdict, and logs it if an operator should know and has not just been told.
func (g *Gate) tell(v Verdict, name string, err error) Verdict {
	g.verdicts.WithLabelValues(string(v)).Inc()
	if v == Admitted || v == Refused {
		g.opt.Log.Debug("a certificate was asked for on demand", "name", name, "verdict", v)
		return v
	}
	g.mu.Lock()
	now := time.Now()
	again := now.Sub(g.told[v]) < reportInterval
	if !again {
		g.told[v] = now
	}
	g.mu.Unlock()
	switch {
	case again:
	case v == Limited:
		g.opt.Log.Warn("no more certificates are obtained on demand in this hour: raise --on-demand-limit if all of these names are yours", "name", name, "limit", g.opt.Hourly)
	case v == Busy:
		g.opt.Log.Warn("clients ask for more names than the application of --on-demand-ask is asked about", "name", name)
	case v == Failed && err != nil:
		g.opt.Log.Warn("the application of --on-demand-ask did not say whether a name may have a certificate: it is refused for now", "name", name, "error", err)
	}
	return v
}
