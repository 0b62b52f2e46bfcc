// Tests of what the generator leaves of a CRD.

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestSchemasAreUpToDate: the committed file is what the pinned module gives.
func TestSchemasAreUpToDate(t *testing.T) {
	dir, err := moduleDir()
	if err != nil {
		t.Fatal(err)
	}
	want, err := generate(filepath.Join(dir, "config", "crd", "experimental"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../schemas.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("schemas.json is out of date: go generate ./config")
	}
}

func TestGenerateNeedsCRDs(t *testing.T) {
	if _, err := generate(t.TempDir()); err == nil {
		t.Error("an empty directory gives schemas")
	}
}
