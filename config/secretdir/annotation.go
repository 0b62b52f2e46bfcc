// Secrets of files that say by an annotation which directory they are:
//
//	kind: Secret
//	metadata:
//	  name: shop-tls
//	  annotations: {wicketgate.dev/secret-dir: /etc/letsencrypt/live/shop.example.com}
//
// Who writes YAML could have the gateway read anything that way. So directories lie below those that a flag allows, and a Secret from a confined
// directory, whose author is trusted with its namespaces alone, names none: it could take another team's key.

package secretdir

import (
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/wicketgate/wicketgate/object"
)

// Annotation names the directory that a Secret is.
const Annotation = "wicketgate.dev/secret-dir"

const annotationsField = "metadata.annotations"

// readAnnotated brings the directories up to date that Secrets of the set name, and returns these Secrets with the files' keys. The caller holds the
// lock.
func (r *Reader) readAnnotated(set *object.Set) (secrets []*object.Object, problems []object.Problem) {
	before := r.annotated
	r.annotated = map[object.Key]*directory{}
	for _, o := range set.Kind(object.GroupKind{Kind: "Secret"}) {
		dir, ok := o.Meta.Annotations[Annotation]
		if !ok {
			continue
		}
		if why := r.refuses(o, dir); why != "" {
			problems = append(problems, object.Problem{
				Severity: object.Error, Position: o.At(annotationsField), Object: o.Key, Field: annotationsField, Message: "annotation " + Annotation + ": " + why,
			})
			continue
		}
		d := before[o.Key]
		if d == nil {
			d = &directory{}
		}
		if d.of != o { // the Secret says something else now: what was read stays in force only if that cannot be read
			d.Source, d.of, d.sum = Source{Namespace: o.Namespace, Name: o.Name, Dir: filepath.Clean(dir)}, o, [32]byte{}
		}
		r.annotated[o.Key] = d
		d.load()
		problems = append(problems, d.problems...)
		if d.inForce != nil {
			secrets = append(secrets, d.inForce)
		}
	}
	return secrets, problems
}

// refuses says why a Secret may not be a directory, or "".
func (r *Reader) refuses(o *object.Object, dir string) string {
	s, ok := o.Value.(*corev1.Secret)
	switch {
	case !ok || len(s.Data) > 0:
		return "the Secret has keys of its own: remove them, or the annotation"
	case o.Confined:
		return "a Secret of a confined directory cannot name files of the machine: ask its operator for --secret " + o.Namespace + "/" + o.Name + "=DIR"
	case !filepath.IsAbs(dir):
		return "\"" + dir + "\" is no absolute path"
	case len(r.roots) == 0:
		return "no directory is allowed: give --secret-root, such as --secret-root " + filepath.Dir(filepath.Clean(dir))
	}
	for _, root := range r.roots {
		if rest, err := filepath.Rel(root, dir); err == nil && rest != ".." && !strings.HasPrefix(rest, ".."+string(filepath.Separator)) {
			return ""
		}
	}
	return dir + " is not below " + strings.Join(r.roots, " or ") + ", which --secret-root allows"
}
