// From a host to the listener of a socket.

package proxy

// hostIndex finds the listener of a socket for a host: the one with that hostname, else the one with the longest wildcard around it, else the one
// without a hostname. A request belongs to that listener alone, whether or not a route of it matches (GEP-3567, listener isolation).
type hostIndex struct {
	exact    map[string]int32 // "shop.example.com"
	wildcard map[string]int32 // ".example.com" for *.example.com
	any      int32
}

// noListener stands for the absence of a listener.
const noListener int32 = -1

func newHostIndex() hostIndex {
	return hostIndex{exact: map[string]int32{}, wildcard: map[string]int32{}, any: noListener}
}

// add registers a listener and reports whether its hostname was free: the first one with a hostname keeps it.
func (h *hostIndex) add(hostname string, listener int32) bool {
	set := func(m map[string]int32, key string) bool {
		_, taken := m[key]
		if !taken {
			m[key] = listener
		}
		return !taken
	}
	switch {
	case hostname == "":
		free := h.any == noListener
		if free {
			h.any = listener
		}
		return free
	case hostname[0] == '*':
		return set(h.wildcard, hostname[1:])
	}
	return set(h.exact, hostname)
}

// find returns the listener for a host as message.AppendHost writes it, or noListener.
func (h *hostIndex) find(host []byte) int32 {
	if len(h.exact) > 0 {
		if l, ok := h.exact[string(host)]; ok {
			return l
		}
	}
	if len(h.wildcard) > 0 {
		for at := 1; at < len(host); at++ {
			if host[at] != '.' {
				continue
			}
			if l, ok := h.wildcard[string(host[at:])]; ok {
				return l
			}
		}
	}
	return h.any
}
