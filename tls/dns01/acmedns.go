// acme-dns: a name server for challenges alone, that _acme-challenge.HOST is a CNAME to. https://github.com/joohoi/acme-dns

package dns01

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// ACMEDNS is a server with the accounts that were registered there, by host.
type ACMEDNS struct {
	Network  Network
	Host     string // with or without https://
	Accounts map[string]ACMEDNSAccount
}

// ACMEDNSAccount is what a registration gave.
type ACMEDNSAccount struct {
	Username  string `json:"username"`
	Password  string `json:"password"`
	Subdomain string `json:"subdomain"`
}

// ParseACMEDNSAccounts reads accounts as cert-manager has them in a Secret: an object of accounts by host.
func ParseACMEDNSAccounts(text []byte) (accounts map[string]ACMEDNSAccount, err error) {
	if err := json.Unmarshal(text, &accounts); err != nil {
		return nil, fmt.Errorf("it is not an object of acme-dns accounts by host name: %w", err)
	}
	return accounts, nil
}

// Add implements Provider. The server keeps the last two values of a name.
func (a *ACMEDNS) Add(ctx context.Context, name, value string) error {
	host := strings.TrimPrefix(name, "_acme-challenge.")
	account, ok := a.Accounts[host]
	if !ok {
		return fmt.Errorf("acme-dns: the Secret has no account for %s: register one, and make %s a CNAME for its fulldomain", host, name)
	}
	url := strings.TrimSuffix(a.Host, "/")
	if !strings.Contains(url, "://") {
		url = "https://" + url
	}
	header := http.Header{"X-Api-User": {account.Username}, "X-Api-Key": {account.Password}}
	update := map[string]string{"subdomain": account.Subdomain, "txt": value}
	if err := callJSON(ctx, a.Network.client(), http.MethodPost, url+"/update", header, update, nil); err != nil {
		return fmt.Errorf("acme-dns: set the record for %s: %w", host, err)
	}
	return nil
}

// Remove implements Provider. There is nothing to do: later values take the place of this one.
func (*ACMEDNS) Remove(context.Context, string, string) error { return nil }
