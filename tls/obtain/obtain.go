// Package obtain gets the certificates that package issue finds wanted, keeps them, and renews them.
//
// An Engine has a state for each certificate. What is held is a Secret, which gateway.Build reads like one of a file; until there is one, a
// self-signed placeholder stands in. The way of a certificate:
//
//	Load    before Build: what the storage holds, or a placeholder
//	Want    after the swap: the graph serves challenges now, so what is missing or due is ordered
//	Run     orders, one attempt at a time for each certificate, and renews; every success or failure is told by Options.Changed
//
// Several processes may share a storage: an attempt holds the certificate's lock there, and looks first whether another was quicker.
package obtain

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/demand"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// Options configure an Engine.
type Options struct {
	// Storage is where accounts, keys and certificates are kept; nil: in memory, so that they are obtained anew after a restart.
	Storage certmagic.Storage
	// Dial makes every outgoing connection. Loopback says that a flag or a cluster-scoped object names the destination.
	Dial func(ctx context.Context, addr netip.AddrPort, loopback bool) (net.Conn, error)
	// Resolver finds the addresses of ACME servers and DNS services; nil means the system's.
	Resolver *net.Resolver
	// DNSPatience is how long a record for a challenge is waited for; zero means dns01.DefaultPatience.
	DNSPatience time.Duration
	// Hook, if it has a command, proves control of names for the flags' issuer.
	Hook Hook
	// Wildcards says that the flags' issuer can have certificates with wildcards.
	Wildcards bool
	// Demand decides which names may have certificates because clients ask for them; nil: none.
	Demand *demand.Gate
	// Changed is told that something is different: what Load returns (secrets), or else only what Reports does. It must not block.
	Changed func(secrets bool)
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// UserAgent is what ACME servers are told.
	UserAgent string
}

// Engine obtains certificates. Its methods may be called concurrently.
type Engine struct {
	opt        Options
	log        *slog.Logger
	storage    certmagic.Storage
	challenges *challenges
	accounts   accounts
	limits     orderLimits
	metrics    *metrics
	wake       chan struct{} // capacity 1

	route53Lock sync.Mutex // while record sets are read and written back

	mu        sync.Mutex
	states    map[string]*state // by issue.Certificate.ID
	plan      *issue.Plan       // of the last Want
	asked     *issue.Demand     // what clients may ask for, as of the last Want
	graph     *gateway.Graph
	hostnames bool        // readHostnames is done
	objects   *object.Set // where issuers' Secrets are looked up
	waiting   *gateway.Certificate
	filled    uint64                        // counts the certificates that were obtained
	managed   *gateway.ManagedCertificates  // what Managed returned last
	implied   map[object.Key]*object.Object // Certificates that Load returned
}

// New makes an Engine. Nothing is obtained before Run.
func New(o Options) (*Engine, error) {
	e := &Engine{
		opt: o, log: o.Log, storage: o.Storage, states: map[string]*state{}, implied: map[object.Key]*object.Object{}, wake: make(chan struct{}, 1),
		accounts: accounts{byKey: map[string]*account{}}, limits: orderLimits{byAccount: map[string]*bucket{}},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.storage == nil {
		e.storage = newMemory()
	}
	if e.opt.Changed == nil {
		e.opt.Changed = func(bool) {}
	}
	if e.opt.Resolver == nil {
		e.opt.Resolver = net.DefaultResolver
	}
	e.challenges = newChallenges(e.storage)
	e.metrics = newMetrics(o.Metrics)
	pair, err := placeholder(nil)
	if err != nil {
		return nil, err
	}
	e.waiting, err = pair.certificate(hostObject("placeholder", pair), "No certificate is issued yet")
	return e, err
}

// Load returns the objects that stand beside those of the files: the Certificates that annotations ask for, and the Secrets of all. It reads
// from the storage what it has not read yet.
func (e *Engine) Load(ctx context.Context, p *issue.Plan) []*object.Object {
	states := make([]*state, len(p.Certificates))
	for i, c := range p.Certificates {
		if c.Given == nil {
			states[i] = e.state(ctx, c)
		}
	}
	var made []*object.Object
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, c := range p.Certificates {
		if c.Object != c.Source {
			made = append(made, e.same(c.Object))
		}
		if s := states[i]; s != nil {
			if secret := s.object(c); secret != nil {
				made = append(made, secret)
			}
		}
	}
	for _, s := range e.states {
		if s.want != nil && s.want.Hostname != "" && p.Wants(s.want) {
			made = append(made, e.same(s.want.Object))
		}
	}
	implied := map[object.Key]*object.Object{}
	for _, o := range made {
		if o.Kind == certmanager.CertificateKind {
			implied[o.Key] = o
		}
	}
	e.implied = implied
	return made
}

// same gives the object that Load returned before if this one says the same at the same place: stages find out by the pointer what changed. The
// caller holds the lock.
func (e *Engine) same(o *object.Object) *object.Object {
	if old := e.implied[o.Key]; old != nil && old.Digest == o.Digest && old.Position == o.Position {
		return old
	}
	return o
}

// state finds or makes the state of a certificate, with what the storage holds.
func (e *Engine) state(ctx context.Context, c *issue.Certificate) *state {
	e.mu.Lock()
	s := e.states[c.ID()]
	e.mu.Unlock()
	if s != nil {
		return s
	}
	s = &state{id: c.ID()}
	e.read(ctx, s)
	e.mu.Lock()
	defer e.mu.Unlock()
	if other := e.states[s.id]; other != nil {
		return other
	}
	e.states[s.id] = s
	return s
}

// Managed gives the certificates that are found by hostname, and the same pointer while they are the same. It reads from the storage what earlier
// runs obtained, once.
func (e *Engine) Managed(ctx context.Context) *gateway.ManagedCertificates {
	e.readHostnames(ctx)
	m := &gateway.ManagedCertificates{
		ByHostname: map[string]*gateway.Certificate{}, Waiting: e.waiting, Wildcards: e.opt.Wildcards, OnDemand: e.opt.Demand != nil,
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.states {
		if host, ok := hostnameOf(s.id); ok && s.held != nil {
			m.ByHostname[host] = s.served(host)
		}
	}
	if e.managed == nil || !maps.Equal(e.managed.ByHostname, m.ByHostname) {
		e.managed = m
	}
	return e.managed
}

// Want says what is wanted from now on. The graph is that which is being served, of which the objects are those that Load added to.
func (e *Engine) Want(p *issue.Plan, g *gateway.Graph) {
	managed, asked := p.Managed(g), p.Demand(g)
	wanted := map[string]bool{}
	grown := false
	for _, c := range slices.Concat(p.Certificates, managed) {
		if c.Given != nil {
			continue
		}
		s := e.state(context.Background(), c) // Load and Managed have read nearly all
		e.mu.Lock()
		wanted[s.id] = true
		grown = grown || (s.want == nil || s.want.OnDemand) && c.Hostname != ""
		s.desire(c, time.Now())
		e.mu.Unlock()
	}
	e.mu.Lock()
	for id, s := range e.states {
		switch _, byHost := hostnameOf(id); {
		case wanted[id]:
		case !s.busy && !byHost:
			delete(e.states, id)
		case s.want != nil && s.want.OnDemand && asked.Certificate(s.want.Hostname) != nil:
			s.desire(asked.Certificate(s.want.Hostname), time.Now())
		default:
			s.want = nil
			s.settle()
		}
	}
	e.plan, e.asked, e.graph, e.objects = p, asked, g, g.Objects
	e.mu.Unlock()
	e.Wake()
	if grown {
		e.opt.Changed(true) // the Certificates for hostnames are to be seen
	}
}

// Wake makes Run look again at what is due.
func (e *Engine) Wake() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// concurrency is how many certificates are worked on at a time.
const concurrency = 8

// Run obtains and renews what is wanted until ctx ends, and returns when the attempts that were going on have ended, too.
func (e *Engine) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	working.Go(func() { e.lookAround(ctx) })
	slots := make(chan struct{}, concurrency)
	for ctx.Err() == nil {
		due, next := e.due(time.Now(), cap(slots)-len(slots))
		for _, s := range due {
			slots <- struct{}{}
			working.Go(func() {
				defer func() { <-slots; e.Wake() }()
				e.attend(ctx, s)
			})
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// longestSleep bounds how long a change of the clock goes unnoticed.
const longestSleep = 10 * time.Minute

// due takes the states that want work now, at most n, and says when to look again.
func (e *Engine) due(now time.Time, n int) (list []*state, next time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next = longestSleep
	for _, s := range e.states {
		if s.busy || s.want == nil || s.want.Unusable != "" {
			continue
		}
		switch wait := s.next.Sub(now); {
		case wait > 0:
			next = min(next, wait)
		case len(list) < n:
			s.busy = true
			list = append(list, s)
		}
	}
	return list, next
}

// secret finds a Secret of the files, or one that is held.
func (e *Engine) secret(key object.Key) *corev1.Secret {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.objects == nil {
		return nil
	}
	o := e.objects.Get(key)
	if o == nil || o.Meta.Annotations[gateway.PlaceholderAnnotation] != "" {
		for _, s := range e.states {
			if s.want != nil && s.want.Secret == key && s.held != nil {
				return s.held.secret(s.want)
			}
		}
		return nil
	}
	v, ok := o.Value.(*corev1.Secret)
	if !ok {
		return nil
	}
	return v
}
