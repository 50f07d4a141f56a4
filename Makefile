# Everything is built, checked and run from here. It needs Go and Node.js, and, for what runs in a browser, Chromium.
#
#   make run    builds all there is and serves the demo on http://localhost:8080
#   make test   lint, and the tests of all kinds; says at the end how many ran
#   make help   the rest
#
# LISTEN=address   where make run listens; default 127.0.0.1:8080
# SEEDS=n FROM=n   how many histories make sim runs, and the seed of the first; default 300, 1
# ROWS=pattern     which rows make bench-quick measures: sync, delayed, visible, burst, single, bulk, open, live
# FAST=1           compresses what the server serves quickly instead of well, for development

GO         ?= go
NODE       ?= node
NPM        ?= npm
LISTEN     ?= 127.0.0.1:8080
SEEDS      ?= 300
FROM       ?= 1
GO_MIN     := 1.26
NODE_MIN   := 20
WASM_LIMIT := 1600000 # bytes of shoal.wasm with brotli; docs/design.md says why
# Packages that are built without inlining, which makes shoal.wasm smaller: none does much in a page for each document.
WASM_SMALL := encoding/... log/... fmt time reflect crypto/... net/... github.com/hack-pad/... ./wasm/... \
	$(addprefix ./shared/,rxdb cpace signaling pool transport/... protocol migration)

GOFUMPT     := bin/gofumpt-v0.12.0
STATICCHECK := bin/staticcheck-v0.8.2
JS          := GOOS=js GOARCH=wasm
# Packages that are built for browsers: those that are for nothing else are among them, which ./... leaves out.
JS_PACKAGES := ./shared/... ./wasm/... ./internal/gate ./internal/leakcheck
# Those of them with tests that need what Node.js lacks.
BROWSER_PACKAGES := ./wasm/... ./shared/transport/rtc

GO_SOURCES   := $(shell find shared wasm internal/gate -name '*.go' -not -name '*_test.go' 2>/dev/null) go.mod go.sum
SERVER_FILES := $(shell find server shared internal/flags -name '*.go' -not -name '*_test.go' 2>/dev/null) go.mod go.sum
PEER_FILES   := $(shell find peer shared internal/flags internal/gate *.go -name '*.go' -not -name '*_test.go' 2>/dev/null) go.mod go.sum
WEB_SOURCES  := $(shell find web/src -name '*.ts' -not -path '*/demo/*' 2>/dev/null) web/build.mjs web/tsconfig.json
DEMO_SOURCES := $(shell find web/src/demo -type f 2>/dev/null) web/build.mjs
MODULES      := web/node_modules/.package-lock.json
RXDB         := e2e/rxdb/node_modules/.package-lock.json
PACKED       := server/assets/dist/.pack.json

# What make test runs, one after the other. Each leaves its counts in RESULTS.
SUITES  := test-go test-pool sim test-node test-browser test-web test-e2e
RESULTS := build/tests
TALLY   := bin/tally
RUN      = $(TALLY) run $(RESULTS)/$@
# A machine with much else to do may need several times as long as the longest package alone, which go test gives 10 minutes.
GO_TEST  = $(GO) test -json -timeout 30m
# Simulated histories where they run slowly: with the race detector, and in Node.js.
FEW     := 15

.PHONY: all help run build wasm web demo size lint lint-go lint-js lint-web fmt test $(SUITES) test-js bench-quick pack clean chromium go node cc
.DELETE_ON_ERROR:
all: build

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## run         builds everything and serves the demo
run: build
	bin/shoal-server --listen $(LISTEN)

## build       bin/shoal-server, with the page and the library in it, and bin/shoal-peer
build: bin/shoal-server bin/shoal-peer

bin/shoal-server: $(SERVER_FILES) $(PACKED) | go
	$(GO) build -trimpath -o $@ ./server

bin/shoal-peer: $(PEER_FILES) | go
	$(GO) build -trimpath -o $@ ./peer

$(PACKED): index.html web/dist/shoal.js web/dist/shoal.wasm web/dist/demo.js | go
	$(GO) run ./server/assets/pack $(if $(FAST),-fast) -out server/assets/dist index.html \
		web/dist/shoal.js web/dist/shoal.js.map web/dist/shoal.d.ts web/dist/worker.js web/dist/worker.js.map web/dist/validate.js web/dist/shoal.wasm web/dist/demo.js web/dist/demo.css
	@touch $@

## wasm        web/dist/shoal.wasm
wasm: web/dist/shoal.wasm

web/dist/shoal.wasm: $(GO_SOURCES) | go
	@mkdir -p $(@D)
	$(JS) $(GO) build -trimpath -ldflags='-s -w' $(patsubst %,-gcflags=%=-l,$(WASM_SMALL)) -o $@ ./wasm
	@touch $@

## web         web/dist/shoal.js with its types: with shoal.wasm, the npm package
web: web/dist/shoal.js

web/dist/shoal.js: $(WEB_SOURCES) $(MODULES) | go node
	cd web && $(NODE) build.mjs

## demo        web/dist/demo.js
demo: web/dist/demo.js

web/dist/demo.js: $(DEMO_SOURCES) web/dist/shoal.js | node
	cd web && $(NODE) build.mjs --demo

# What npm ci installs says package-lock.json.
%/node_modules/.package-lock.json: %/package.json %/package-lock.json | node
	cd $* && $(NPM) ci --no-audit --no-fund
	@touch $@

## pack        the npm package as a .tgz in web/
pack: web wasm
	cd web && $(NPM) pack

## size        what a page loads; fails when shoal.wasm is over its limit
size: $(PACKED)
	@cd server/assets/dist && for f in shoal.wasm shoal.js worker.js validate.js demo.js demo.css index.html; do \
		printf '%-11s %9d bytes' $$f $$(wc -c < $$f); \
		for e in gz br; do [ ! -f $$f.$$e ] || printf ', %s %8d' $$e $$(wc -c < $$f.$$e); done; echo; done
	@n=$$(wc -c < server/assets/dist/shoal.wasm.br); [ $$n -le $(WASM_LIMIT) ] || \
		{ echo "shoal.wasm has $$n bytes with brotli, the limit is $(WASM_LIMIT)"; exit 1; }

# The tools, which are built once, for this machine: go run would build them for browsers where GOOS says so.
bin/gofumpt-%: | go
	GOBIN=$(CURDIR)/bin $(GO) install mvdan.cc/gofumpt@$* && mv bin/gofumpt $@

bin/staticcheck-%: | go
	GOBIN=$(CURDIR)/bin $(GO) install honnef.co/go/tools/cmd/staticcheck@$* && mv bin/staticcheck $@

## fmt         formats the Go code
fmt: $(GOFUMPT)
	$(GOFUMPT) -w .

## lint        everything that finds faults without running the code
lint: lint-go lint-js lint-web

lint-go: $(GOFUMPT) $(STATICCHECK)
	@out=$$($(GOFUMPT) -l .); [ -z "$$out" ] || { echo "not formatted, make fmt does it:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...

lint-js: $(STATICCHECK)
	$(JS) $(GO) vet $(JS_PACKAGES)
	$(JS) $(STATICCHECK) $(JS_PACKAGES)

lint-web: $(MODULES) web/dist/shoal.js
	cd web && node_modules/.bin/tsc --project tsconfig.json --noEmit --emitDeclarationOnly false
	cd web && node_modules/.bin/tsc --project src/demo/tsconfig.json
	cd web && node_modules/.bin/tsc --project test/tsconfig.json

## test        lint and all tests; the last line counts them
test: $(TALLY) | go node cc chromium
	@rm -rf $(RESULTS)
	@$(MAKE) --no-print-directory --keep-going --jobs=1 lint $(SUITES); code=$$?; $(TALLY) sum $(RESULTS) || code=1; exit $$code

$(TALLY): $(wildcard internal/tally/*.go) | go
	$(GO) build -o $@ ./internal/tally

## test-go     Go tests on this machine, with the race detector
test-go: $(TALLY) | go cc
	$(RUN) $(GO_TEST) -race $$($(GO) list ./... | grep -v -e /e2e -e /bench/ -e /shared/pool$$)

## test-pool   the tests of package pool, and with them few simulated histories, with the race detector
test-pool: $(TALLY) | go cc
	$(RUN) $(GO_TEST) -race ./shared/pool -args -sim.seeds $(FEW)

## sim         simulated histories, SEEDS of them; make sim FROM=n SEEDS=1 is one again
sim: $(TALLY) | go
	@echo "$(SEEDS) histories, from seed $(FROM)"
	$(RUN) $(GO_TEST) -timeout 60m ./shared/pool -run Simulation -args -sim.seeds $(SEEDS) -sim.from $(FROM)

## test-js     Go tests of all that is built for browsers, in Node.js and in Chromium
test-js: test-node test-browser

test-node: $(TALLY) | go node
	$(JS) $(RUN) $(GO_TEST) -exec="$$($(GO) env GOROOT)/lib/wasm/go_js_wasm_exec" $$($(JS) $(GO) list $(JS_PACKAGES) | grep -v /shared/pool$$)
	$(JS) $(RUN)-pool $(GO_TEST) -exec="$$($(GO) env GOROOT)/lib/wasm/go_js_wasm_exec" ./shared/pool -args -sim.seeds $(FEW)

test-browser: $(TALLY) | go chromium
	$(GO) build -o bin/browsertest ./internal/browsertest
	$(JS) $(RUN) $(GO_TEST) -p 1 -exec="$(CURDIR)/bin/browsertest" $(BROWSER_PACKAGES)

## test-web    the JavaScript API in Node.js
test-web: web wasm $(TALLY)
	$(RUN) $(NODE) --test --test-reporter=spec web/test/*.test.mjs

## test-e2e    the built page and library in Chromium
test-e2e: build $(RXDB) $(TALLY) | chromium
	$(RUN) $(GO_TEST) -p 1 ./e2e/...

## bench-quick Shoal beside RxDB and the bare browser, in Chromium; ROWS=pattern measures some of it
bench-quick: build bench/node_modules/.package-lock.json | chromium
	cd bench/browser && $(GO) test -count 1 -timeout 15m -run 'TestRows$(if $(ROWS),/^($(ROWS))$$)'

bench/node_modules/.package-lock.json: bench/package.json bench/package-lock.json | node
	cd bench && $(NPM) ci --no-audit --no-fund
	@touch $@

## chromium    installs Chromium where it is missing and apt-get is there
chromium:
	@command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null || { \
		if ! command -v apt-get >/dev/null; then echo "Chromium or Chrome is needed, and none is on PATH; please install one"; exit 1; fi; \
		if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; \
		else echo "Chromium is needed: apt-get install chromium"; exit 1; fi; \
		$$sudo apt-get update && $$sudo apt-get install -y --no-install-recommends chromium; }

## clean       removes what was built
clean:
	rm -rf bin build web/dist web/build web/*.tgz
	find server/assets/dist -mindepth 1 -not -name .gitignore -delete

go:
	@command -v $(GO) >/dev/null || { echo "Go $(GO_MIN) or later is needed, and there is none on PATH: https://go.dev/dl/"; exit 1; }
	@v=$$($(GO) env GOVERSION | sed 's/^go//; s/[^0-9.].*//'); \
		[ "$$(printf '%s\n' $(GO_MIN) "$$v" | sort -V | head -n 1)" = $(GO_MIN) ] || \
		{ echo "Go $(GO_MIN) or later is needed, $(GO) is $$v: https://go.dev/dl/"; exit 1; }

node:
	@command -v $(NODE) >/dev/null && command -v $(NPM) >/dev/null || \
		{ echo "Node.js $(NODE_MIN) or later with npm is needed, and it is not on PATH: https://nodejs.org/"; exit 1; }
	@v=$$($(NODE) --version | sed 's/^v//'); [ "$${v%%.*}" -ge $(NODE_MIN) ] || \
		{ echo "Node.js $(NODE_MIN) or later is needed, $(NODE) is $$v: https://nodejs.org/"; exit 1; }

cc:
	@[ "$$($(GO) env GOOS)" = darwin ] || command -v $$($(GO) env CC) >/dev/null || \
		{ echo "A C compiler is needed for Go's race detector, and there is no $$($(GO) env CC) on PATH: apt-get install gcc libc6-dev"; exit 1; }
