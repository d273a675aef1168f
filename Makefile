# What a person types. `make demo` to try it, `make test` for everything CI runs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BUILD    := build
TESTSUM  := $(BUILD)/testsum
TESTRUN   = $(TESTSUM) $(STRICT) --
TAGS     := -tags=nobadger,nomysql,nopgx
XCADDY   := go tool -modfile=tools/go.mod xcaddy
LINT     := $(BUILD)/golangci-lint
FUZZTIME ?= 60s
FUZZTIME_SHORT ?= 5s
ROUNDS   ?= 200
PORT     ?= 8080
MINUTES  ?= 60
# Everything but the end-to-end tests, which have targets of their own.
UNIT      = $$(go list $(TAGS) ./... | grep -v '/test/')

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Caddy with the plugin on :8080 (PORT=…) against a simulated Google
	@mkdir -p $(BUILD) && go build $(TAGS) -ldflags '-s -w' -o $(BUILD)/caddy ./cmd/caddy
	@exec $(BUILD)/caddy gemini-balance-demo --port $(PORT)

.PHONY: build
build: ## build/caddy: Caddy's standard modules and this plugin
	@mkdir -p $(BUILD) && CGO_ENABLED=0 go build $(TAGS) -trimpath -ldflags '-s -w' -o $(BUILD)/caddy ./cmd/caddy

.PHONY: test
test: ## everything CI runs; installs what it needs
	@bash test/all.sh

.PHONY: unit
unit: $(TESTSUM) ## the packages' own tests
	@$(TESTRUN) go test $(TAGS) -count=1 $(UNIT)
	@cd tools && $(CURDIR)/$(TESTSUM) -- go test -count=1 ./testsum

.PHONY: race
race: $(TESTSUM) ## the same under the race detector
	@CGO_ENABLED=1 $(TESTRUN) go test $(TAGS) -race -short -count=1 $(UNIT)

.PHONY: integration
integration: STRICT = -strict
integration: $(TESTSUM) ## a real Caddy: reloads, drain, secrets in logs, overload, stalled clients
	@$(TESTRUN) go test $(TAGS) -p 1 -count=1 -timeout 10m ./test/integration/... ./test/chaos

.PHONY: clients
clients: STRICT = -strict
clients: $(TESTSUM) test/clients/node_modules ## the official SDKs, gemini-cli, Codex and Claude Code against a real Caddy
	@cd test/clients && $(CURDIR)/$(TESTSUM) -strict -- go test -count=1 -timeout 10m .
	@cd test/clients && $(CURDIR)/$(TESTSUM) -- go test -count=1 ./types/... # reads recordings where they are

.PHONY: ui-test
ui-test: admin/ui/test/node_modules ## the web UI's own tests in node, its types, and the checksums of what it vendors
	@bash tools/vendor-ui.sh --sums
	@mkdir -p $(BUILD) && { node --test --test-reporter=tap admin/ui/test/*.test.mjs >$(BUILD)/ui-test.tap || \
	  { grep -B2 -A12 '^ *not ok' $(BUILD)/ui-test.tap | tee -a "$${TESTSUM_FILE:-/dev/null}$${TESTSUM_FILE:+.failed}"; touch $(BUILD)/ui-test.failed; }; }
	@awk '/^# (pass|fail|skipped)/ {n[$$2] = $$3} END {print n["pass"], n["fail"], n["skipped"]}' $(BUILD)/ui-test.tap | \
	  tee -a "$${TESTSUM_FILE:-/dev/null}" | sed 's/^/ui-test: passed, failed, skipped: /'
	@[ ! -e $(BUILD)/ui-test.failed ] || { rm $(BUILD)/ui-test.failed; exit 1; }

.PHONY: vendor-ui
vendor-ui: ## fetch the web UI's libraries again; ARGS=--check compares
	@bash tools/vendor-ui.sh $(ARGS)

.PHONY: browser
browser: STRICT = -strict
browser: $(TESTSUM) test/browser/node_modules ## the admin pages in a real Chromium; screenshots in build/screenshots
	@$(TESTRUN) go test $(TAGS) -count=1 -timeout 15m ./test/browser

%/node_modules: %/package-lock.json
	@cd $(@D) && npm ci --ignore-scripts --no-fund --no-audit && touch node_modules

.PHONY: lint
lint: $(LINT) ## golangci-lint, gofumpt, tidy, no registry host in lock files
	@$(LINT) run ./...
	@bash test/frame.sh

.PHONY: fmt
fmt: $(LINT) ## format all Go files
	@$(LINT) fmt ./...

.PHONY: fuzz
fuzz: ## decoders, schemas, SSE and encoders for FUZZTIME (60s), the others for FUZZTIME_SHORT (5s)
	@FUZZTIME=$(FUZZTIME) FUZZTIME_SHORT=$(FUZZTIME_SHORT) bash test/fuzz.sh

.PHONY: fuzz-short
fuzz-short: ## the same for 5s each
	@FUZZTIME=5s FUZZTIME_SHORT=5s bash test/fuzz.sh

.PHONY: smoke
smoke: ## build with xcaddy as users do; check modules and Caddyfile.example
	@XCADDY="$(XCADDY)" bash test/smoke.sh

.PHONY: bench
bench: ## the gateway against reverse_proxy in one run; ARGS="-rounds 5 -only stream"
	@mkdir -p $(BUILD) && CGO_ENABLED=0 go build $(TAGS) -ldflags '-s -w' -o $(BUILD)/caddy ./cmd/caddy
	@go run ./bench -caddy $(BUILD)/caddy $(ARGS)

.PHONY: bench-peers
bench-peers: $(patsubst %/package.json,%/node_modules,$(wildcard bench/peers/*/package.json)) ## the same, and other gateways that npm has beside them; needs Node
	@$(MAKE) bench ARGS="-peers bench/peers $(ARGS)"

.PHONY: bench-floor
bench-floor: ## small chats and streams, with the least that a gateway could cost beside them; ARGS="-rounds 9"
	@mkdir -p $(BUILD) && CGO_ENABLED=0 go build $(TAGS) -ldflags '-s -w' -o $(BUILD)/floor ./bench/floor
	@$(MAKE) bench ARGS="-floor $(BUILD)/floor -held '' -only 'small chat' $(ARGS)"

.PHONY: bench-quota
bench-quota: ## the pool against a simulated Google's quotas; ARGS="-scenario load-95,burst -strategy round_robin -seeds 5"
	@mkdir -p $(BUILD) && go test $(TAGS) -c -o $(BUILD)/quota.test ./bench/quota
	@$(BUILD)/quota.test -test.run '^TestYield$$' -test.timeout 2h -scenario all -json $(BUILD)/quota.json $(ARGS)

.PHONY: bench-usage
bench-usage: ## the request log and its sums at ROWS (10000000) rows
	@USAGE_ROWS=$${ROWS:-10000000} go test $(TAGS) -run TestRows -timeout 2h -v ./bench/usage

.PHONY: bench-start
bench-start: ## start and admin API with 1,000,000 user keys, 100,000 Gemini keys, 10,000,000 rows; ARGS="-dir kept -only overview"
	@mkdir -p $(BUILD) && CGO_ENABLED=0 go build $(TAGS) -ldflags '-s -w' -o $(BUILD)/caddy ./cmd/caddy
	@go run $(TAGS) ./bench/start -caddy $(BUILD)/caddy $(ARGS)

.PHONY: bench-packages
bench-packages: ## benchmarks of the packages, six runs each, for benchstat
	@go test $(TAGS) -run '^$$' -bench . -benchmem -count=6 $(UNIT)

.PHONY: kill-rounds
kill-rounds: ## ROUNDS (200) times kill -9 under load: no acknowledged write lost
	@KILL_ROUNDS=$(ROUNDS) go test $(TAGS) -count=1 -timeout 60m -run 'Kill' -v ./test/integration/...

.PHONY: chaos
chaos: ## what takes long to hurt: disks, power, overload, reloads; needs Linux and root; ONLY="R4 U14"
	@bash test/chaos/run.sh

.PHONY: soak
soak: ## mixed traffic with faults for MINUTES (60): slopes of memory and goroutines; RACE=1 under the race detector
	@CHAOS=1 CHAOS_RACE=$(RACE) SOAK_MINUTES=$(MINUTES) go test $(TAGS),chaos -count=1 -timeout 26h -v -run '^TestSoak$$' ./test/chaos

.PHONY: vulncheck
vulncheck: ## govulncheck (needs its database online)
	@go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 $(TAGS) ./...

$(TESTSUM): $(wildcard tools/testsum/*.go)
	@mkdir -p $(BUILD) && go build -C tools -o ../$@ ./testsum

$(LINT): tools/lint/go.mod tools/lint/go.sum
	@mkdir -p $(BUILD) && echo "building golangci-lint (once, some minutes)" && \
	  go build -C tools/lint -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: clean
clean: ## remove what was built
	@rm -rf $(BUILD) test/clients/node_modules test/browser/node_modules admin/ui/test/node_modules bench/peers/*/node_modules
