// Package secretdir makes Secrets of directories: each file is a key, as in a Secret that Kubernetes mounts. That is how keys come in that
// other programs renew (certbot, step, a mounted Secret) without anybody writing them into YAML.
//
//	/etc/letsencrypt/live/shop.example.com/     Secret default/shop-tls
//	  fullchain.pem                               tls.crt
//	  privkey.pem                                 tls.key
//	  chain.pem                                   chain.pem
//
// A directory is taken as a whole: while its certificate and key do not belong together, because their program has replaced the one
// and not yet the other, what was read before stays in force.
package secretdir

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/keypair"
	"github.com/wicketgate/wicketgate/object"
)

// Source says which Secret a directory is.
type Source struct {
	Namespace, Name string
	Dir             string
}

// Parse reads "NAMESPACE/NAME=DIR", or "NAME=DIR" for the namespace default.
func Parse(text string) (s Source, err error) {
	secret, dir, ok := strings.Cut(text, "=")
	namespace, name, qualified := strings.Cut(secret, "/")
	if !qualified {
		namespace, name = "default", secret
	}
	if !ok || dir == "" {
		return s, errors.New("must be NAMESPACE/NAME=DIR, such as default/shop-tls=/etc/letsencrypt/live/shop.example.com")
	}
	if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
		return s, fmt.Errorf("%q is not a namespace: %s", namespace, problems[0])
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return s, fmt.Errorf("%q is not the name of a Secret: %s", name, problems[0])
	}
	return Source{Namespace: namespace, Name: name, Dir: dir}, nil
}

// Reader reads directories again and again. Its methods may be called concurrently.
type Reader struct {
	roots []string // below which Secrets may name directories

	mu        sync.Mutex
	dirs      []*directory              // of flags
	annotated map[object.Key]*directory // of Secrets
}

// directory is one source, with what was read last.
type directory struct {
	Source

	of       *object.Object // the Secret of a file that names it; nil: a flag does
	sum      [32]byte       // of what the last Load saw
	inForce  *object.Object
	problems []object.Problem
}

// New makes a Reader of directories, and of those below roots, which are absolute paths, that Secrets name. It reads nothing yet.
func New(sources []Source, roots []string) *Reader {
	r := &Reader{roots: roots}
	for _, s := range sources {
		r.dirs = append(r.dirs, &directory{Source: s})
	}
	return r
}

// Load reads every directory, and returns its Secrets with what is wrong with them. A Secret that did not change is the same object. Where
// the set, which is that of the files, has a Secret of that name, the directory's is left out, unless that Secret itself names the directory: then it takes its
// place.
func (r *Reader) Load(set *object.Set) (secrets []*object.Object, problems []object.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	secrets, problems = r.readAnnotated(set)
	for _, d := range r.dirs {
		d.load()
		problems = append(problems, d.problems...)
		switch {
		case d.inForce == nil:
		case set.Get(d.inForce.Key) != nil:
			problems = append(problems, d.problem(object.Warning, "is not used: "+d.inForce.Key.String()+" is given in "+set.Get(d.inForce.Key).Position.String()))
		default:
			secrets = append(secrets, d.inForce)
		}
	}
	return secrets, problems
}

// differs says whether a directory holds something else than what Load saw.
func (r *Reader) differs() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	different := func(d *directory) bool {
		c, err := read(d.Dir)
		return sumOf(c, err) != d.sum
	}
	for _, d := range r.annotated {
		if different(d) {
			return true
		}
	}
	return slices.ContainsFunc(r.dirs, different)
}

// load brings a directory up to date.
func (d *directory) load() {
	c, err := read(d.Dir)
	sum := sumOf(c, err)
	if sum == d.sum {
		return
	}
	d.sum, d.problems = sum, nil
	var made *object.Object
	if err == nil {
		made, err = d.secret(c)
	}
	switch {
	case err == nil:
		d.inForce = made
	case d.inForce != nil:
		d.problems = append(d.problems, d.problem(object.Error, err.Error()+"; what was read before stays in force"))
	default:
		d.problems = append(d.problems, d.problem(object.Error, err.Error()))
	}
	for _, name := range c.exposed {
		d.problems = append(d.problems, d.problem(object.Warning, name+" is a private key that everybody on this machine may read: take the permission away (chmod o-r, or defaultMode: 0400 of the volume)"))
	}
}

func (d *directory) problem(s object.Severity, message string) object.Problem {
	if d.of != nil {
		return object.Problem{
			Severity: s, Position: d.of.At(annotationsField), Object: d.of.Key, Field: annotationsField, Message: "annotation " + Annotation + ": " + d.Dir + ": " + message,
		}
	}
	return object.Problem{
		Severity: s, Position: object.Position{File: d.Dir}, Message: message,
		Object: object.Key{Kind: "Secret", Namespace: d.Namespace, Name: d.Name},
	}
}

// secret makes the Secret of what a directory holds. It is admitted like one of a file.
func (d *directory) secret(c content) (*object.Object, error) {
	s := &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: c.keys}
	s.APIVersion, s.Kind, s.Namespace, s.Name = "v1", "Secret", d.Namespace, d.Name
	if d.of != nil {
		s.Labels, s.Annotations = d.of.Meta.Labels, d.of.Meta.Annotations
	}
	certificate, key := c.keys[corev1.TLSCertKey], c.keys[corev1.TLSPrivateKeyKey]
	switch {
	case len(c.keys) == 0:
		return nil, errors.New("holds no file: nothing can be in the Secret")
	case certificate != nil && key != nil:
		if _, err := keypair.Parse(certificate, key); err != nil {
			return nil, fmt.Errorf("%s and %s are not a usable certificate and key: %w", c.from[corev1.TLSCertKey], c.from[corev1.TLSPrivateKeyKey], err)
		}
		s.Type = corev1.SecretTypeTLS
	case certificate != nil || key != nil:
		return nil, fmt.Errorf("has one of %s and %s, and the other is missing", cmp.Or(c.from[corev1.TLSCertKey], "tls.crt (or fullchain.pem)"),
			cmp.Or(c.from[corev1.TLSPrivateKeyKey], "tls.key (or privkey.pem)"))
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	objects, problems := config.Parse(d.Dir, text)
	for _, p := range problems {
		if p.Severity == object.Error {
			return nil, errors.New(p.Message)
		}
	}
	if len(objects) != 1 {
		return nil, errors.New("cannot be a Secret")
	}
	made := *objects[0]
	made.Position, made.Locator = object.Position{File: d.Dir}, whole{d.Dir}
	if d.of != nil {
		made.Position, made.Locator, made.Stale = d.of.Position, d.of.Locator, d.of.Stale
	}
	return &made, nil
}

// whole is the Locator of an object that is a directory.
type whole struct{ dir string }

// Locate implements object.Locator.
func (w whole) Locate(string) object.Position { return object.Position{File: w.dir} }

// sumOf identifies what a look at a directory found.
func sumOf(c content, err error) [32]byte {
	text, failed := json.Marshal([]any{c.keys, c.from, c.exposed, fmt.Sprint(err)})
	if failed != nil {
		panic("secretdir: texts cannot be written: " + failed.Error())
	}
	return sha256.Sum256(text)
}
