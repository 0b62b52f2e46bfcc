// DigitalOcean: https://docs.digitalocean.com/reference/api/

package dns01

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// DigitalOcean is an account there.
type DigitalOcean struct {
	Network  Network
	Token    string
	Endpoint string // "" means DigitalOcean's
}

func (d *DigitalOcean) header() http.Header {
	return http.Header{"Authorization": {"Bearer " + d.Token}}
}

func (d *DigitalOcean) url(path string) string {
	if d.Endpoint != "" {
		return d.Endpoint + path
	}
	return "https://api.digitalocean.com/v2" + path
}

// zone finds the domain that a name is in.
func (d *DigitalOcean) zone(ctx context.Context, name string) (string, error) {
	for _, candidate := range zones(name) {
		err := callJSON(ctx, d.Network.client(), http.MethodGet, d.url("/domains/"+candidate), d.header(), nil, nil)
		switch {
		case err == nil:
			return candidate, nil
		case !isStatus(err, http.StatusNotFound):
			return "", fmt.Errorf("digitalocean: find domain %s: %w", candidate, err)
		}
	}
	return "", fmt.Errorf("digitalocean: the account has no domain that %s is in", name)
}

// Add implements Provider.
func (d *DigitalOcean) Add(ctx context.Context, name, value string) error {
	zone, err := d.zone(ctx, name)
	if err != nil {
		return err
	}
	relative := strings.TrimSuffix(strings.TrimSuffix(name, zone), ".")
	if relative == "" {
		relative = "@"
	}
	record := map[string]any{"type": "TXT", "name": relative, "data": value, "ttl": recordTTL}
	if err := callJSON(ctx, d.Network.client(), http.MethodPost, d.url("/domains/"+zone+"/records"), d.header(), record, nil); err != nil {
		return fmt.Errorf("digitalocean: add a record to %s: %w", name, err)
	}
	return nil
}

// Remove implements Provider.
func (d *DigitalOcean) Remove(ctx context.Context, name, value string) error {
	zone, err := d.zone(ctx, name)
	if err != nil {
		return err
	}
	var answer struct {
		Records []struct {
			ID   int64  `json:"id"`
			Data string `json:"data"`
		} `json:"domain_records"`
	}
	query := url.Values{"type": {"TXT"}, "name": {name}, "per_page": {"200"}}
	if err := callJSON(ctx, d.Network.client(), http.MethodGet, d.url("/domains/"+zone+"/records?"+query.Encode()), d.header(), nil, &answer); err != nil {
		return fmt.Errorf("digitalocean: read the records of %s: %w", name, err)
	}
	for _, r := range answer.Records {
		if unquote(r.Data) != value {
			continue
		}
		err := callJSON(ctx, d.Network.client(), http.MethodDelete, d.url(fmt.Sprintf("/domains/%s/records/%d", zone, r.ID)), d.header(), nil, nil)
		if err != nil && !isStatus(err, http.StatusNotFound) {
			return fmt.Errorf("digitalocean: remove a record from %s: %w", name, err)
		}
	}
	return nil
}
