// Reading what a name server answered. The bytes come from the network: nothing in them is believed beyond the question that was asked.

package dial

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// answer is what a response says about a name: addresses, or an alias whose addresses it does not have, or neither.
type answer struct {
	addrs      []netip.Addr
	alias      string // lower case, without the final dot
	noSuchName bool
	ttl        time.Duration
}

// maxRecords is how many records of a response are looked at.
const maxRecords = 512

// alias is where a CNAME leads.
type alias struct {
	target string
	ttl    time.Duration
}

// records are those of an answer that may matter, by owner in lower case.
type records struct {
	aliases map[string]alias
	addrs   map[string][]netip.Addr
	ttls    map[string]time.Duration // the smallest of an owner's addresses
}

// parseAnswer reads the response to question q that was sent with id. It returns errOtherAnswer for anything that is not a response to
// that, errTruncated if it must be asked for over TCP, and a codeError if the server would not answer.
func parseAnswer(msg []byte, id uint16, q dnsmessage.Question) (answer, error) {
	var p dnsmessage.Parser
	code, err := parseHead(&p, msg, id, q)
	if err != nil {
		return answer{}, err
	}
	rs, err := readRecords(&p)
	if err != nil {
		return answer{}, fmt.Errorf("malformed answer: %w", err)
	}
	a, err := rs.follow(fold(q.Name))
	if err != nil {
		return answer{}, err
	}
	a.noSuchName = code == dnsmessage.RCodeNameError && len(a.addrs) == 0
	if len(a.addrs) == 0 && (a.alias == "" || a.noSuchName) {
		a.alias = ""
		a.ttl = min(a.ttl, negativeTTL(&p))
	}
	return a, nil
}

// parseHead reads header and question, and judges them. The code it returns without an error is that there is an answer or that the name does
// not exist.
func parseHead(p *dnsmessage.Parser, msg []byte, id uint16, q dnsmessage.Question) (dnsmessage.RCode, error) {
	h, err := p.Start(msg)
	if err != nil || h.ID != id || !h.Response || h.OpCode != 0 {
		return 0, errOtherAnswer
	}
	answers := h.RCode == dnsmessage.RCodeSuccess || h.RCode == dnsmessage.RCodeNameError
	questions, err := p.AllQuestions()
	switch {
	case err != nil:
		return 0, errOtherAnswer
	case !answers && len(questions) == 0: // some servers leave the question out when they cannot read the query
		return 0, codeError(h.RCode)
	case !asked(questions, q):
		return 0, errOtherAnswer
	case !answers:
		return 0, codeError(h.RCode)
	case h.Truncated:
		return 0, errTruncated
	}
	return h.RCode, nil
}

func asked(questions []dnsmessage.Question, q dnsmessage.Question) bool {
	if len(questions) != 1 {
		return false
	}
	got := questions[0]
	return got.Type == q.Type && got.Class == q.Class && fold(got.Name) == fold(q.Name)
}

// fold gives a name the form in which names are compared.
func fold(n dnsmessage.Name) string {
	return strings.ToLower(strings.TrimSuffix(n.String(), "."))
}

// readRecords reads the answer section.
func readRecords(p *dnsmessage.Parser) (records, error) {
	rs := records{aliases: make(map[string]alias), addrs: make(map[string][]netip.Addr), ttls: make(map[string]time.Duration)}
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return rs, nil
		}
		if err != nil {
			return rs, err
		}
		if h.Class != dnsmessage.ClassINET {
			if err := p.SkipAnswer(); err != nil {
				return rs, err
			}
			continue
		}
		if err := rs.add(p, h); err != nil {
			return rs, err
		}
	}
	return rs, p.SkipAllAnswers()
}

// add reads one record.
func (rs *records) add(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) error {
	owner, ttl := fold(h.Name), seconds(h.TTL)
	switch h.Type {
	case dnsmessage.TypeA:
		r, err := p.AResource()
		if err != nil {
			return err
		}
		rs.addAddress(owner, netip.AddrFrom4(r.A), ttl)
	case dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		if err != nil {
			return err
		}
		rs.addAddress(owner, netip.AddrFrom16(r.AAAA), ttl)
	case dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		if err != nil {
			return err
		}
		rs.aliases[owner] = alias{fold(r.CNAME), ttl}
	default:
		return p.SkipAnswer()
	}
	return nil
}

func (rs *records) addAddress(owner string, ip netip.Addr, ttl time.Duration) {
	if old, ok := rs.ttls[owner]; ok {
		ttl = min(ttl, old)
	}
	rs.ttls[owner] = ttl
	rs.addrs[owner] = append(rs.addrs[owner], ip)
}

// follow goes from a name along its aliases to addresses, as far as the records lead. The answer holds as long as each step does.
func (rs *records) follow(name string) (answer, error) {
	a := answer{ttl: MaxTTL}
	for range maxAliases {
		if addrs := rs.addrs[name]; len(addrs) > 0 {
			a.addrs, a.alias = addrs, ""
			a.ttl = min(a.ttl, rs.ttls[name])
			return a, nil
		}
		next, ok := rs.aliases[name]
		if !ok {
			return a, nil
		}
		name = next.target
		a.alias = name
		a.ttl = min(a.ttl, next.ttl)
	}
	return answer{}, errAliases
}

// negativeTTL is how long it holds that there is nothing (RFC 2308 section 5): what the SOA record in the authority section says.
func negativeTTL(p *dnsmessage.Parser) time.Duration {
	for range maxRecords {
		h, err := p.AuthorityHeader()
		if err != nil {
			break
		}
		if h.Type != dnsmessage.TypeSOA {
			if p.SkipAuthority() != nil {
				break
			}
			continue
		}
		soa, err := p.SOAResource()
		if err != nil {
			break
		}
		return min(seconds(h.TTL), seconds(soa.MinTTL))
	}
	return failureTTL
}

// seconds converts a TTL; one with the highest bit set counts as zero (RFC 2181 section 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
