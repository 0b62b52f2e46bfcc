# Wicketgate's chores: `make help` lists them. Only Go, git and make are needed for `build`, `run` and `test`.

export GOTOOLCHAIN := auto

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)
FUZZTIME  ?= 30s
TESTFLAGS ?=
ROW       ?=
RUN       ?=
ARCH      ?= $(shell go env GOARCH)
ROUNDS    ?= 5
COUNT     ?= 10
WINDOW    ?= 2s
LOAD      ?= 2m
BASE      ?=
PKG       ?= ./...

# Tools are pinned here and run with `go run`, so that go.mod holds only what the gateway itself needs. They are built with the
# project's own Go, since a linter built with an older one refuses newer code.
TOOL          := GOTOOLCHAIN=$(TOOLCHAIN) go run
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.8.0
BENCHSTAT     := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
export H2SPEC := github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible

# What the tests behind `make test-all` run besides Go.
TOOLS := curl openssl nc wrk h2load nginx haproxy gcc docker dockerd docker-compose ip chromium \
	mariadbd mariadb-install-db mariadb redis-server redis-benchmark redis-cli dnsmasq dig dnsperf

.PHONY: help build run test test-all race fuzz fuzz-short lint fmt vuln bench bench-compare pebble interop conformance mutants cover size image cross tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/wicketgate, a static binary
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/wicketgate .

image: ## build the container image wicketgate:latest for ARCH (amd64); needs Docker
	rm -rf bin/image
	mkdir -p -m 0755 bin/image/etc/wicketgate
	mkdir -p -m 0700 bin/image/var/lib/wicketgate
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/image/wicketgate .
	docker build -q --platform linux/$(ARCH) -t wicketgate -f Dockerfile bin/image

cross: ## compile for linux, darwin and windows on amd64 and arm64 and for linux on 386 and arm, vet everything, tests included, for the systems that lint does not see, and test the parsers with integers of 32 bits
	@for os in darwin windows; do echo "vet $$os"; CGO_ENABLED=0 GOOS=$$os go vet ./... || exit 1; done
	@for on in linux/amd64 linux/arm64 linux/386 linux/arm darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do echo "build $$on"; \
		CGO_ENABLED=0 GOOS=$${on%/*} GOARCH=$${on#*/} go build -o /dev/null . || exit 1; done
	@if [ "$$(go env GOHOSTOS)/$$(go env GOHOSTARCH)" = linux/amd64 ]; then echo "test linux/386"; \
		CGO_ENABLED=0 GOARCH=386 go test -timeout 10m $(TESTFLAGS) ./message ./router ./wire/... ./tls/sni ./proxy/extauth ./accesslog; fi

run: build ## serve examples/quickstart on :8080 with two echo backends, until ^C
	@exec sh examples/serve.sh examples/quickstart

test: ## run every test that needs only Go
	go test -timeout 30m $(TESTFLAGS) ./...

race: ## run the same tests with the race detector (needs a C compiler)
	go test -race -timeout 40m $(TESTFLAGS) ./...

test-all: tools test race lint vuln fuzz-short size cross conformance mutants pebble interop ## run everything, with load for LOAD=2m: also what needs real tools, and fail if one is missing
	cd bench/h3 && go vet ./...
	WICKETGATE_TEST_TOOLS=1 WICKETGATE_TEST_LOAD=$(LOAD) go test -count=1 -timeout 2h -run 'Tools' $(TESTFLAGS) ./bench/... ./examples/... ./cli/...

tools:
	@missing=; for t in $(TOOLS); do command -v $$t >/dev/null || missing="$$missing $$t"; done; \
	if [ -n "$$missing" ]; then echo "make test-all needs these tools, which are not installed:$$missing" >&2; exit 1; fi

fuzz: ## run every fuzz target for FUZZTIME (30s)
	@sh .ci/fuzz $(FUZZTIME)

fuzz-short:
	@sh .ci/fuzz 3s

lint: ## go vet, and golangci-lint with .golangci.yml (staticcheck and gofumpt are in it)
	go vet ./...
	$(TOOL) $(GOLANGCI_LINT) fmt --diff
	@for module in . bench/h3 conformance internal/interop tls/pebbletest; do echo "golangci-lint run: $$module"; \
		(cd $$module && $(TOOL) $(GOLANGCI_LINT) run --allow-parallel-runners) || exit 1; done

fmt: ## format every file the way lint wants it
	$(TOOL) $(GOLANGCI_LINT) fmt

vuln: ## look for known vulnerabilities in what the binary calls (needs the Go vulnerability database)
	@GOTOOLCHAIN=$(TOOLCHAIN) GOVULNCHECK=$(GOVULNCHECK) sh .ci/vuln

bench: build ## measure against nginx, haproxy and Caddy; ROW=h1-small,tcp-* for some rows, ROUNDS=5 rounds of WINDOW=2s
	go run ./bench -gateway bin/wicketgate -row "$(ROW)" -rounds $(ROUNDS) -window $(WINDOW)

bench-compare: ## compare Go's benchmarks of this tree with those of BASE=rev; PKG=./wire/... for some packages, RUN=Head for some of them, COUNT=10 times
	@test -n "$(BASE)" || { echo "say what to compare with: make bench-compare BASE=main" >&2; exit 1; }
	@BENCHSTAT=$(BENCHSTAT) TOOLCHAIN=$(TOOLCHAIN) sh .ci/compare "$(BASE)" "$(PKG)" "$(RUN)" "$(COUNT)"

pebble: ## obtain certificates from Pebble, an ACME server for tests; RUN=TestRenewal for one test
	cd tls/pebbletest && go vet ./... && go test -count=1 -timeout 20m -run "$(RUN)" $(TESTFLAGS) .

conformance: build bin/conformance.test ## run the official Gateway API conformance suite; RUN=HTTPRouteWeight for one test
	cd conformance && ../bin/conformance.test -test.timeout 30m -test.run TestConformance -program "$(CURDIR)/bin/wicketgate" \
		-program-version "$(VERSION)" $(if $(RUN),-test.v -run-test "$(RUN)",-report-output "$(CURDIR)/conformance/report.yaml")

interop: ## run gRPC's interoperability client and server through the gateway
	cd internal/interop && go test -count=1 -timeout 20m .

mutants: bin/conformance.test ## test that the conformance suite fails with gateways that have a fault each
	cd conformance && ../bin/conformance.test -test.v -test.timeout 30m -test.run TestMutants -mutants

.PHONY: bin/conformance.test
bin/conformance.test:
	@mkdir -p bin
	cd conformance && go vet ./... && go test ./... && go test -c -o ../bin/conformance.test .

h2spec: ## run h2spec against the binary, over TLS and in plaintext
	WICKETGATE_TEST_TOOLS=1 go test -count=1 -v -run TestToolsH2spec ./cli

cover: ## test coverage of every package
	go test -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out | tail -1

size: build ## fail if the binary has grown beyond its bound (45 MB)
	@bytes=$$(wc -c < bin/wicketgate); echo "bin/wicketgate: $$bytes bytes"; test $$bytes -lt 45000000

clean: ## remove what was built
	rm -rf bin coverage.out
