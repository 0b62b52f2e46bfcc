// Cloudflare: https://developers.cloudflare.com/api/resources/dns/

package dns01

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// Cloudflare is an account there. Either a token is given, or a key with the account's email address.
type Cloudflare struct {
	Network    Network
	Token      string
	Email, Key string
	Endpoint   string // "" means Cloudflare's
}

// header authenticates.
func (c *Cloudflare) header() http.Header {
	if c.Token != "" {
		return http.Header{"Authorization": {"Bearer " + c.Token}}
	}
	return http.Header{"X-Auth-Email": {c.Email}, "X-Auth-Key": {c.Key}}
}

func (c *Cloudflare) url(path string) string {
	if c.Endpoint != "" {
		return c.Endpoint + path
	}
	return "https://api.cloudflare.com/client/v4" + path
}

// cloudflareItem is a zone or a record.
type cloudflareItem struct {
	ID      string `json:"id"`
	Content string `json:"content"`
}

// list reads zones or records.
func (c *Cloudflare) list(ctx context.Context, path string, query url.Values) ([]cloudflareItem, error) {
	var answer struct {
		Result []cloudflareItem `json:"result"`
	}
	err := callJSON(ctx, c.Network.client(), http.MethodGet, c.url(path)+"?"+query.Encode(), c.header(), nil, &answer)
	return answer.Result, err
}

// zone finds the zone that a name is in.
func (c *Cloudflare) zone(ctx context.Context, name string) (string, error) {
	for _, candidate := range zones(name) {
		found, err := c.list(ctx, "/zones", url.Values{"name": {candidate}})
		if err != nil {
			return "", fmt.Errorf("cloudflare: find zone %s: %w", candidate, err)
		}
		if len(found) > 0 {
			return found[0].ID, nil
		}
	}
	return "", fmt.Errorf("cloudflare: the token may read no zone that %s is in", name)
}

// values reads the records of a name that have a value.
func (c *Cloudflare) values(ctx context.Context, zone, name, value string) (ids []string, err error) {
	records, err := c.list(ctx, "/zones/"+zone+"/dns_records", url.Values{"type": {"TXT"}, "name": {name}, "per_page": {"100"}})
	if err != nil {
		return nil, fmt.Errorf("cloudflare: read the records of %s: %w", name, err)
	}
	for _, r := range records {
		if unquote(r.Content) == value {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// Add implements Provider.
func (c *Cloudflare) Add(ctx context.Context, name, value string) error {
	zone, err := c.zone(ctx, name)
	if err != nil {
		return err
	}
	there, err := c.values(ctx, zone, name, value)
	if err != nil || len(there) > 0 {
		return err
	}
	record := map[string]any{"type": "TXT", "name": name, "content": `"` + value + `"`, "ttl": recordTTL}
	if err := callJSON(ctx, c.Network.client(), http.MethodPost, c.url("/zones/"+zone+"/dns_records"), c.header(), record, nil); err != nil {
		return fmt.Errorf("cloudflare: add a record to %s: %w", name, err)
	}
	return nil
}

// Remove implements Provider.
func (c *Cloudflare) Remove(ctx context.Context, name, value string) error {
	zone, err := c.zone(ctx, name)
	if err != nil {
		return err
	}
	there, err := c.values(ctx, zone, name, value)
	if err != nil {
		return err
	}
	for _, id := range there {
		err := callJSON(ctx, c.Network.client(), http.MethodDelete, c.url("/zones/"+zone+"/dns_records/"+id), c.header(), nil, nil)
		if err != nil && !isStatus(err, http.StatusNotFound) {
			return fmt.Errorf("cloudflare: remove a record from %s: %w", name, err)
		}
	}
	return nil
}
