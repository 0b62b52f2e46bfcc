// The system's files on names, resolv.conf and hosts: read when first needed, and again when they change.

package dial

import (
	"bytes"
	"io"
	"iter"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxFile is how much of a file is read.
const maxFile = 4 << 20

// watchedFile is the parsed content of a file. It is safe for concurrent use.
type watchedFile[T any] struct {
	path  string
	parse func(text string) T

	mu      sync.Mutex
	seen    os.FileInfo // of what was parsed; nil: nothing yet, or the file is missing
	content T
}

// read returns the content, parsed again if the file changed since. A file that is missing is an empty one; one that cannot be read
// keeps its last content.
func (f *watchedFile[T]) read() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	switch {
	case os.IsNotExist(err):
		var empty T
		f.seen, f.content = nil, empty
	case err == nil && !f.isCurrent(info):
		if text, err := readBounded(f.path); err == nil {
			f.seen, f.content = info, f.parse(text)
		}
	}
	return f.content
}

func (f *watchedFile[T]) isCurrent(info os.FileInfo) bool {
	return f.seen != nil && os.SameFile(f.seen, info) && f.seen.Size() == info.Size() && f.seen.ModTime().Equal(info.ModTime())
}

func readBounded(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	return string(bytes.TrimPrefix(text, []byte("\ufeff"))), err
}

// resolvConf is what we use of resolv.conf(5). Zero values mean that the file does not say.
type resolvConf struct {
	servers  []netip.AddrPort
	timeout  time.Duration
	attempts int
}

func (c *resolvConf) serversOrDefault() []netip.AddrPort {
	if len(c.servers) == 0 {
		return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	return c.servers
}

func (c *resolvConf) timeoutOrDefault() time.Duration {
	if c.timeout == 0 {
		return 2 * time.Second
	}
	return c.timeout
}

func (c *resolvConf) attemptsOrDefault() int {
	if c.attempts == 0 {
		return 2
	}
	return c.attempts
}

// maxServers is how many name servers of a resolv.conf are used, as the C library does.
const maxServers = 3

func parseResolvConf(text string) resolvConf {
	var c resolvConf
	for fields := range lines(text, "#;") {
		switch {
		case fields[0] == "nameserver" && len(fields) > 1 && len(c.servers) < maxServers:
			if ip, err := netip.ParseAddr(fields[1]); err == nil {
				c.servers = append(c.servers, netip.AddrPortFrom(ip, 53))
			}
		case fields[0] == "options":
			for _, option := range fields[1:] {
				name, value, _ := strings.Cut(option, ":")
				n, err := strconv.Atoi(value)
				switch {
				case err != nil:
				case name == "timeout":
					c.timeout = time.Duration(min(max(n, 1), 30)) * time.Second
				case name == "attempts":
					c.attempts = min(max(n, 1), 5)
				}
			}
		}
	}
	return c
}

// parseHosts reads hosts(5): names in lower case to addresses, in the order of the file.
func parseHosts(text string) map[string][]netip.Addr {
	hosts := make(map[string][]netip.Addr)
	for fields := range lines(text, "#") {
		ip, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			hosts[name] = append(hosts[name], ip)
		}
	}
	return hosts
}

// lines yields the words of each line that has any, without what follows one of the comment characters.
func lines(text, comment string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(text) {
			if i := strings.IndexAny(line, comment); i >= 0 {
				line = line[:i]
			}
			if fields := strings.Fields(line); len(fields) > 0 && !yield(fields) {
				return
			}
		}
	}
}
