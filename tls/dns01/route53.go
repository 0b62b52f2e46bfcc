// Route 53: https://docs.aws.amazon.com/Route53/latest/APIReference/
//
// All values of a name are one record set there, which is replaced as a whole: it is read, changed and written back under a lock, so that two
// orders with the same name do not undo each other's work.

package dns01

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Route53 is an AWS account.
type Route53 struct {
	Network     Network
	Credentials AWSCredentials
	Region      string
	ZoneID      string // "": it is found by name
	Lock        *sync.Mutex
	Endpoint    string // "" means the one of AWS
}

const route53Path = "/2013-04-01"

func (r *Route53) url(path string) string {
	switch {
	case r.Endpoint != "":
		return r.Endpoint + route53Path + path
	case strings.HasPrefix(r.Region, "cn-"):
		return "https://route53.amazonaws.com.cn" + route53Path + path
	}
	return "https://route53.amazonaws.com" + route53Path + path
}

// call sends a signed request, and reads the answer's XML into out.
func (r *Route53) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		text, err := xml.Marshal(in)
		if err != nil {
			return err
		}
		body = append([]byte(xml.Header), text...)
	}
	// The service is a global one, with one region to sign for in each partition.
	region := "us-east-1"
	if strings.HasPrefix(r.Region, "cn-") {
		region = "cn-northwest-1"
	}
	text, err := call(ctx, r.Network.client(), method, r.url(path), nil, body, func(q *http.Request, body []byte) {
		r.Credentials.sign(q, body, region, "route53", time.Now())
	})
	if err != nil || out == nil {
		return err
	}
	return xml.Unmarshal(text, out)
}

// recordSet is the values of a name.
type recordSet struct {
	Name    string           `xml:"Name"`
	Type    string           `xml:"Type"`
	TTL     int64            `xml:"TTL"`
	Records []resourceRecord `xml:"ResourceRecords>ResourceRecord"`
}

// resourceRecord is one value, in quotes.
type resourceRecord struct {
	Value string `xml:"Value"`
}

// change is a request to change one record set.
type change struct {
	XMLName xml.Name  `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
	Action  string    `xml:"ChangeBatch>Changes>Change>Action"`
	Set     recordSet `xml:"ChangeBatch>Changes>Change>ResourceRecordSet"`
}

// zone finds the public zone that a name is in.
func (r *Route53) zone(ctx context.Context, name string) (string, error) {
	if r.ZoneID != "" {
		return strings.TrimPrefix(r.ZoneID, "/hostedzone/"), nil
	}
	for _, candidate := range zones(name) {
		var answer struct {
			Zones []struct {
				ID      string `xml:"Id"`
				Name    string `xml:"Name"`
				Private bool   `xml:"Config>PrivateZone"`
			} `xml:"HostedZones>HostedZone"`
		}
		if err := r.call(ctx, http.MethodGet, "/hostedzonesbyname?"+url.Values{"dnsname": {candidate}}.Encode(), nil, &answer); err != nil {
			return "", fmt.Errorf("route53: find zone %s: %w", candidate, err)
		}
		for _, z := range answer.Zones { // of this name, and those that come after it
			if z.Name == candidate+"." && !z.Private {
				return strings.TrimPrefix(z.ID, "/hostedzone/"), nil
			}
		}
	}
	return "", fmt.Errorf("route53: the account has no public zone that %s is in", name)
}

// read gives the record set of a name.
func (r *Route53) read(ctx context.Context, zone, name string) (s recordSet, err error) {
	var answer struct {
		Sets []recordSet `xml:"ResourceRecordSets>ResourceRecordSet"`
	}
	query := url.Values{"name": {name}, "type": {"TXT"}, "maxitems": {"1"}}
	if err := r.call(ctx, http.MethodGet, "/hostedzone/"+zone+"/rrset?"+query.Encode(), nil, &answer); err != nil {
		return s, fmt.Errorf("route53: read the records of %s: %w", name, err)
	}
	for _, found := range answer.Sets { // the first at or after the name
		if strings.EqualFold(strings.TrimSuffix(found.Name, "."), name) && found.Type == "TXT" {
			return found, nil
		}
	}
	return recordSet{Name: name + ".", Type: "TXT", TTL: recordTTL}, nil
}

// Add implements Provider. It returns when the service says that all of its servers have the value.
func (r *Route53) Add(ctx context.Context, name, value string) error {
	added := resourceRecord{`"` + value + `"`}
	return r.edit(ctx, name, true, func(values []resourceRecord) []resourceRecord {
		if slices.Contains(values, added) {
			return values
		}
		return append(values, added)
	})
}

// Remove implements Provider.
func (r *Route53) Remove(ctx context.Context, name, value string) error {
	return r.edit(ctx, name, false, func(values []resourceRecord) []resourceRecord {
		return slices.DeleteFunc(slices.Clone(values), func(v resourceRecord) bool { return unquote(v.Value) == value })
	})
}

// edit replaces the values of a name by what f makes of them.
func (r *Route53) edit(ctx context.Context, name string, wait bool, f func([]resourceRecord) []resourceRecord) error {
	zone, err := r.zone(ctx, name)
	if err != nil {
		return err
	}
	id, err := r.replace(ctx, zone, name, f)
	if err != nil || id == "" || !wait {
		return err
	}
	return r.await(ctx, id)
}

// replace reads, changes and writes a record set, and gives the change's ID, or "" if nothing is to be changed.
func (r *Route53) replace(ctx context.Context, zone, name string, f func([]resourceRecord) []resourceRecord) (id string, err error) {
	r.Lock.Lock()
	defer r.Lock.Unlock()
	set, err := r.read(ctx, zone, name)
	if err != nil {
		return "", err
	}
	c := change{Action: "UPSERT", Set: set}
	switch c.Set.Records = f(slices.Clip(set.Records)); {
	case slices.Equal(c.Set.Records, set.Records):
		return "", nil
	case len(c.Set.Records) == 0:
		c.Action, c.Set = "DELETE", set
	}
	var answer struct {
		ID string `xml:"ChangeInfo>Id"`
	}
	if err := r.call(ctx, http.MethodPost, "/hostedzone/"+zone+"/rrset/", c, &answer); err != nil {
		return "", fmt.Errorf("route53: change the records of %s: %w", name, err)
	}
	return strings.TrimPrefix(answer.ID, "/change/"), nil
}

// await waits until a change has reached all name servers.
func (r *Route53) await(ctx context.Context, id string) error {
	for {
		var answer struct {
			Status string `xml:"ChangeInfo>Status"`
		}
		if err := r.call(ctx, http.MethodGet, "/change/"+id, nil, &answer); err != nil {
			return fmt.Errorf("route53: ask what became of a change: %w", err)
		}
		if answer.Status == "INSYNC" {
			return nil
		}
		select {
		case <-time.After(lookInterval):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
