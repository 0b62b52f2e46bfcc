//go:build linux

// Memory during one large upload to a backend that takes it slowly: what a proxy holds of it.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

func uploadRow() row {
	return row{Name: "upload-memory", Kind: "http", Backend: "slow", Load: load{Path: "/"}, Run: measureUpload}
}

// uploadSampling is how often resident memory is read.
const uploadSampling = 20 * time.Millisecond

func measureUpload(b *bench, w row) (result, error) {
	f, err := b.start(w)
	if err != nil {
		return result{}, err
	}
	defer f.stop()
	r := result{row: w, Missing: f.missing}
	var t strings.Builder
	fmt.Fprintf(&t, "One upload of %d MiB to a backend that takes it more slowly than it is sent, after one of an eighth of it: by how much resident memory\n"+
		"grows meanwhile.\n\n| proxy | RSS before, MiB | grew by at most, MiB | took |\n|---|---|---|---|\n", b.upload>>20)
	for _, p := range f.proxies {
		if err := upload(b.ctx, p, b.upload/8); err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
		before, err := residentMiB(p.pid)
		if err != nil {
			return r, err
		}
		began := time.Now()
		most, err := b.watchUpload(p)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
		line := fmt.Sprintf("| %s | %.1f | %.1f | %.1fs |\n", p.name, before, max(0, most-before), time.Since(began).Seconds())
		fmt.Fprintf(b.out, "%s %s", w.Name, line)
		t.WriteString(line)
	}
	r.Table = t.String()
	return r, nil
}

// watchUpload uploads and returns the most that was resident meanwhile, in MiB.
func (b *bench) watchUpload(p *proxy) (most float64, err error) {
	done := make(chan error, 1)
	go func() { done <- upload(b.ctx, p, b.upload) }()
	tick := time.NewTicker(uploadSampling)
	defer tick.Stop()
	for {
		mib, failed := residentMiB(p.pid)
		most = max(most, mib)
		select {
		case err := <-done:
			return most, errors.Join(err, failed)
		case <-tick.C:
		}
	}
}

// upload sends n bytes of zeros.
func upload(ctx context.Context, p *proxy, n int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+p.listen.String()+"/", io.LimitReader(zeros{}, n))
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	req.ContentLength = n
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("upload: answered with %s", res.Status)
	}
	return nil
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
