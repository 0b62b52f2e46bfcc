// Roots: the directories and files to read, and the namespaces that they are confined to.

package config

import (
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Root is a directory or a file that objects are read from.
type Root struct {
	// Path is the directory or file, as the user named it; positions and messages repeat it.
	Path string
	// Namespaces, if there are any, confine the root: objects of other namespaces and of cluster-scoped kinds found there are
	// refused. Where there is only one, it is the namespace of objects that name none.
	Namespaces []string
	// Text, unless it is nil, is what is read in place of Path, which is then only its name: what came out of a pipe comes once.
	Text []byte
}

// ReadText reads the Text of a Root to its end. The error says that it is too large, or is from's.
func ReadText(from io.Reader) ([]byte, error) {
	text, err := readAll(from, 0, defaultLimits.fileBytes)
	if err == nil && int64(len(text)) > defaultLimits.fileBytes {
		err = tooLarge(defaultLimits)
	}
	return text, err
}

// ParseRoot reads the command-line form "DIR" or "DIR:ns1,ns2". It splits at the last colon, and only where a list of namespaces follows
// and something other than a drive letter precedes, so that "C:conf" and "./a:b.d" name directories.
func ParseRoot(s string) Root {
	i := strings.LastIndexByte(s, ':')
	if i <= 0 || i == 1 && isLetter(s[0]) {
		return Root{Path: s}
	}
	namespaces := strings.Split(s[i+1:], ",")
	for _, ns := range namespaces {
		if len(validation.IsDNS1123Label(ns)) > 0 {
			return Root{Path: s}
		}
	}
	return Root{Path: s[:i], Namespaces: namespaces}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// String is the form that ParseRoot reads.
func (r Root) String() string {
	if len(r.Namespaces) == 0 {
		return r.Path
	}
	return r.Path + ":" + strings.Join(r.Namespaces, ",")
}

// defaultNamespace is where objects of this root go that name no namespace.
func (r Root) defaultNamespace() string {
	if len(r.Namespaces) == 1 {
		return r.Namespaces[0]
	}
	return "default"
}
