# Everything a developer does here is a target; `make help` lists them.
# Needed on the machine: Go, git, make, bash and jq. All else is built from Go modules into bin/.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

ifeq ($(shell command -v bash),)
$(error bash is missing: install it with the package manager (apt-get install bash, apk add bash, dnf install bash))
endif
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

GO ?= go
# The binaries carry no paths of the machine that built them. What is compiled with -trimpath is cached apart from what is
# not, so tests and lint of the control plane use it too: compiling all of that twice takes minutes.
FLAGS := -trimpath -ldflags='-s -w'
BIN := $(CURDIR)/bin

GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint

# Directories with a go.mod of their own, besides the root.
SUBMODULES := cmd/localcluster modules/101-cert-manager/gen testdata/promcheck

# The race detector needs a C compiler on Linux; without one the tests run without it, and say so.
RACE := $(if $(shell command -v "$${CC:-gcc}" || command -v cc),-race)
# Each test package may start a control plane of about 600 MB, so few at once.
P ?= 2
TESTFLAGS ?=
TIMEOUT ?= 20m

# What the demo imitates, e.g. NODES=testdata/nodes/bare-metal.yaml
NODES ?=
ONCE ?=
# Long runs: how long, how many.
DURATION ?= 10m
N ?= 200
# Fuzzing: how long each target in place of a share of DURATION, which targets, and a file that collects results over runs.
FUZZTIME ?=
FUZZ ?=
FUZZLOG ?=

##@ Try it

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: need build $(BIN)/demo ## Run the operator with its modules on a local control plane (ONCE=1: end when Ready; NODES=file)
	@exec $(BIN)/localcluster run $(if $(NODES),--nodes $(NODES)) -- $(BIN)/demo $(if $(ONCE),--once)

.PHONY: demo-channels
demo-channels: need build $(BIN)/demo ## Promote a module through release channels to two clusters, and see one go back (ONCE=1: end then)
	@exec $(BIN)/demo --channels $(if $(ONCE),--once)

.PHONY: $(BIN)/demo
$(BIN)/demo:
	@$(GO) build $(FLAGS) -o $@ ./cmd/demo

##@ Develop

.PHONY: test
test: need build ## Run all tests, on real control planes (P=packages at once, TESTFLAGS=...)
	@$(if $(RACE),,echo 'no C compiler (gcc) found: testing without the race detector' >&2)
	$(GO) test $(RACE) -p $(P) -timeout $(TIMEOUT) $(TESTFLAGS) ./...
	$(GO) test -C cmd/localcluster -trimpath -timeout $(TIMEOUT) $(TESTFLAGS) ./...
	$(GO) test -C testdata/promcheck -timeout $(TIMEOUT) $(TESTFLAGS) ./...

.PHONY: bench
bench: need build ## Measure speed and memory with 10, 50 and 200 modules beside their floors, the cost per module up to 1,000, and channels (ARGS=...)
	$(GO) run ./cmd/bench $(ARGS)

.PHONY: soak
soak: need build ## Run the long tests: kills, races, scale, then fuzz (DURATION=10m N=200)
	DURATION=$(DURATION) N=$(N) $(GO) test $(RACE) -tags soak -run Soak -v -p 1 -timeout 24h ./...
	@$(MAKE) fuzz

.PHONY: fuzz
fuzz: need ## Fuzz each parser for an equal share of DURATION (FUZZTIME=each FUZZ=regexp)
	@GO='$(GO)' DURATION=$(DURATION) FUZZTIME=$(FUZZTIME) FUZZ='$(FUZZ)' FUZZLOG='$(FUZZLOG)' testdata/fuzz.sh

.PHONY: lint
lint: $(GOLANGCI) ## Run the linters (.golangci.yml)
	$(GOLANGCI) run --allow-parallel-runners ./...
	cd cmd/localcluster && GOFLAGS=-trimpath $(GOLANGCI) run --allow-parallel-runners --config $(CURDIR)/.golangci.yml ./...

.PHONY: generate
generate: ## Write generated files anew: the CRDs of cert-manager
	$(GO) -C modules/101-cert-manager/gen run .

.PHONY: verify
verify: ## Check format, vet, go.mod files, scripts and generated files, changing nothing
	@files=$$(git ls-files -co --exclude-standard -- '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l); \
		[[ -z $$files ]] || { printf 'not formatted, run gofmt -w on:\n%s\n' "$$files" >&2; exit 1; }
	@git ls-files -co --exclude-standard | while read -r file; do \
		[[ -f $$file && -x $$file && $$(head -c 64 "$$file" | head -1 | tr -d '\0') == '#!'*bash ]] || continue; bash -n "$$file"; done
	$(GO) vet ./...
	@for dir in . $(SUBMODULES); do echo "go mod tidy -diff ($$dir)"; $(GO) -C $$dir mod tidy -diff; done
	$(GO) -C modules/101-cert-manager/gen run . -verify

.PHONY: build
build: $(BIN)/localcluster ## Build the binaries into bin/
	@$(GO) build $(FLAGS) -o $(BIN)/ ./cmd/addon-operator ./cmd/discover-api

##@ Tools

.PHONY: clean
clean: ## Remove bin/
	rm -rf $(BIN)

# A whole Kubernetes control plane: built only when its sources changed.
$(BIN)/localcluster: $(filter-out %_test.go,$(wildcard cmd/localcluster/*.go)) $(wildcard cmd/localcluster/*.yaml) cmd/localcluster/go.mod cmd/localcluster/go.sum
	@echo 'building the local control plane, bin/localcluster: the first time this takes about five minutes on two cores' >&2
	@begin=$$SECONDS; $(GO) build -C cmd/localcluster $(FLAGS) -o $@ .; touch $@; echo "built in $$((SECONDS - begin)) s" >&2
bin/localcluster: $(BIN)/localcluster
.PHONY: bin/localcluster

$(GOLANGCI):
	@echo 'building golangci-lint $(GOLANGCI_VERSION): the first time this takes some minutes' >&2
	@GOBIN=$(dir $@) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

# Says what to install instead of failing in the middle.
.PHONY: need
need:
	@ok=true; for tool in $(GO) git jq; do \
		command -v "$$tool" >/dev/null && continue; ok=false; \
		case $$tool in \
			jq) how='apt-get install jq, apk add jq, dnf install jq or brew install jq' ;; \
			git) how='apt-get install git, apk add git, dnf install git or brew install git' ;; \
			*) how='Go 1.26 or newer from https://go.dev/dl' ;; \
		esac; echo "$$tool is missing, install it: $$how" >&2; \
	done; $$ok
