// The first level of a table: a tree over the labels of host names, from the right. The hostnames
//
//	shop.example.com    *.example.com    *.com
//
// make the nodes com, com/example and com/example/shop. A request for shop.example.com walks down to the last of them, which is the
// most specific hostname; then the links up lead to the wildcards, the longest one first; and last comes what matches any host.
// A wildcard needs at least one label in front of it: *.example.com does not match example.com.

package router

import (
	"bytes"
	"strings"
)

// hosts is the tree.
type hosts struct {
	root hostNode
	any  []*paths
}

// hostNode is what is known about one suffix of host names.
type hostNode struct {
	children map[string]*hostNode
	// exact belongs to the host name that ends at this node, wild to the wildcard in front of it. Each has an entry for each
	// Declared, the most specific first.
	exact, wild []*paths
	// up is the nearest ancestor with a wildcard.
	up *hostNode
}

// buildHosts makes the tree of groups, which are sorted by precedence.
func buildHosts(groups []*paths) hosts {
	var h hosts
	for _, p := range groups {
		h.add(p.hostname, p)
	}
	h.root.link(nil)
	return h
}

func (h *hosts) add(hostname string, p *paths) {
	if hostname == "" {
		h.any = append(h.any, p)
		return
	}
	suffix, wild := strings.CutPrefix(hostname, "*.")
	n := &h.root
	for end := len(suffix); end >= 0; {
		dot := strings.LastIndexByte(suffix[:end], '.')
		label := suffix[dot+1 : end]
		child := n.children[label]
		if child == nil {
			child = new(hostNode)
			if n.children == nil {
				n.children = make(map[string]*hostNode)
			}
			n.children[label] = child
		}
		n, end = child, dot
	}
	if wild {
		n.wild = append(n.wild, p)
	} else {
		n.exact = append(n.exact, p)
	}
}

// link sets the links up in the subtree.
func (n *hostNode) link(up *hostNode) {
	n.up = up
	if n.wild != nil {
		up = n
	}
	for _, child := range n.children {
		child.link(up)
	}
}

// match returns the route that answers in, or nothing.
func (h *hosts) match(in *Input) hit {
	n, front := h.root.walk(in.Host)
	switch {
	case front < 0: // the whole host
		if found := matchAny(n.exact, in); found.rank != none {
			return found
		}
		n = n.up
	case front == 0 || n.wild == nil:
		n = n.up
	}
	for ; n != nil; n = n.up {
		if found := matchAny(n.wild, in); found.rank != none {
			return found
		}
	}
	return matchAny(h.any, in)
}

// walk goes down as far as host leads. front is the number of bytes that are left in front of the labels it used (and of a dot), or
// negative if it used them all.
func (n *hostNode) walk(host []byte) (last *hostNode, front int) {
	for front = len(host); front >= 0; {
		dot := bytes.LastIndexByte(host[:front], '.')
		child := n.children[string(host[dot+1:front])]
		if child == nil {
			return n, front
		}
		n, front = child, dot
	}
	return n, front
}

func matchAny(list []*paths, in *Input) hit {
	for _, p := range list {
		if found := p.match(in); found.rank != none {
			return found
		}
	}
	return nothing()
}
