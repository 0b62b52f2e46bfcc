// What is running, as Kubernetes' clients ask for it.

package admin

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Version says what is running. The fields are Kubernetes' (k8s.io/apimachinery/pkg/version), so that its clients can read it.
type Version struct {
	Major        string `json:"major"`
	Minor        string `json:"minor"`
	GitVersion   string `json:"gitVersion"`
	GitCommit    string `json:"gitCommit"`
	GitTreeState string `json:"gitTreeState"`
	BuildDate    string `json:"buildDate"`
	GoVersion    string `json:"goVersion"`
	Compiler     string `json:"compiler"`
	Platform     string `json:"platform"`
}

// semanticVersion is what kubectl accepts as gitVersion.
var semanticVersion = regexp.MustCompile(`^v?\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$`)

// semantic gives a build that has no version one that clients can read: a commit becomes v0.0.0+COMMIT.
func (v Version) semantic() Version {
	if semanticVersion.MatchString(v.GitVersion) {
		return v
	}
	named := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '.') {
			return r
		}
		return -1
	}, v.GitVersion)
	v.GitVersion = strings.TrimSuffix("v0.0.0+"+strings.Trim(named, "."), "+")
	return v
}
