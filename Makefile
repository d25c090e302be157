# Everything a person or CI does here. `make` alone prints the list.
#
# On a fresh machine with rustup, Python 3, Node 20, a C and a C++ compiler and openssl, `make run` and `make test` set up the rest
# themselves: nothing is installed outside this directory but the Rust toolchain that rust-toolchain.toml names.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# A shell that has not read rustup's profile still finds it.
export PATH := $(PATH):$(HOME)/.cargo/bin

# The test runner for wasm must be of the same version as the library that the tests are linked with.
BINDGEN := $(shell awk '/^name = "wasm-bindgen"$$/ { getline; gsub(/"/, "", $$3); print $$3 }' Cargo.lock)
CARGO_DENY := 0.20.2
CARGO_MUTANTS := 27.1.0

# The OpenID provider that the tests get tokens from.
PROVIDER := host-tests/oidc/node_modules/ready

PLUGIN := build/portcullis.wasm
# The same code with the functions' names, to read a backtrace by.
NAMED := build/portcullis.names.wasm
PLUGIN_SOURCES := Cargo.toml Cargo.lock rust-toolchain.toml filter/Cargo.toml $(shell find filter/src -type f)
# A plugin that does nothing, and one that only makes host calls, to measure against.
NOOP := build/noop.wasm
FLOOR := build/floor.wasm
# What else is measured beside it: a service for Envoy's `ext_authz`.
EXT_AUTHZ := build/ext-authz
# The plugin with ways to break, for the tests of what happens then.
FAULTY := build/faulty.wasm
# The plugin's size limit, in bytes: 1280 KiB.
PLUGIN_LIMIT := 1310720

# What shrinks the plugin, and the features of WebAssembly that it may use: those that the compiler has used already.
# A function with one caller stays a function of its own (but for the smallest): V8 keeps what it needed to compile the largest one, so
# that one function of 157 KB, which policies were read by, cost 44 MiB for good. Requests execute as many instructions either way.
BINARYEN := .tools/binaryen-132.0.0
WASM_OPT = node $(BINARYEN)/node_modules/binaryen/bin/wasm-opt -Oz --one-caller-inline-max-function-size 20 -g --enable-bulk-memory --enable-bulk-memory-opt \
	--enable-call-indirect-overlong --enable-multivalue --enable-mutable-globals --enable-nontrapping-float-to-int \
	--enable-reference-types --enable-sign-ext

# What checks the list of the plugin's parts against its schema.
CYCLONEDX := .tools/cyclonedx-11.12.0

RUNNER := .tools/wasm-bindgen-$(BINDGEN)
DENY := .tools/cargo-deny-$(CARGO_DENY)
MUTANTS := .tools/cargo-mutants-$(CARGO_MUTANTS)

# How long `make fuzz` spends on each target, in seconds, and which targets: two minutes together, as in `make test`. Give it an hour
# each now and then.
FUZZ_SECONDS ?= 10
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard filter/fuzz/fuzz_targets/*.rs)))

# Arguments of `make bench`: --quick, --write, --rounds N, --turns N, --requests N, --only WORDS, --json; or --curves, --starts, --memory, --contention.
BENCH ?=

# What is tested together. Whoever names other packages gets other features of what both use, and wasmtime is compiled a second time.
E2E := --package host-tests --package portcullis-verifier
# The programs of host-tests from the same build. One test is named, or all of them would be linked.
PROGRAMS := cargo test --quiet $(E2E) --test baseline --no-run

# What the compiled plugin is tested with.
WITH_ENVOY = ENVOY="$$(scripts/envoy-path)" PORTCULLIS_WASM="$(CURDIR)/$(PLUGIN)"

##@ First steps

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { print "\n" substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: rust .venv/ready $(PROVIDER) $(RUNNER) $(DENY) $(BINARYEN) ## Get the toolchain, Envoy and the tools, where they are missing; quick when all is there
	@scripts/envoy-path > /dev/null
	@scripts/redis-path --get > /dev/null || echo "setup: one test will not run"
	@scripts/collector-path --get > /dev/null || echo "setup: the tests with a collector will not run"
	@scripts/prometheus-path --get > /dev/null
	@scripts/ip-path --get > /dev/null
	@command -v openssl > /dev/null || { echo "setup: openssl is missing: install it" >&2; exit 1; }
	@echo "setup: ready (.venv: pinned Envoy; .tools: wasm-bindgen-test-runner $(BINDGEN), cargo-deny $(CARGO_DENY), redis-server, rotel-agent, prometheus, iproute2; host-tests/oidc: OpenID provider)"

# For somebody who has just cloned: what is needed and no more. Of `setup` that is Envoy alone, and host-tests without wasmtime.
.PHONY: run
run: .venv/ready $(PLUGIN) ## Start Envoy with envoy.yaml, the plugin and a demo upstream on 127.0.0.1:10000
	@scripts/envoy-path > /dev/null
	@$(WITH_ENVOY) cargo run --quiet --package host-tests --no-default-features --bin demo

.PHONY: build
build: rust $(PLUGIN) ## Compile the plugin to build/portcullis.wasm
	@echo "build: $(PLUGIN), $$(wc -c < $(PLUGIN)) bytes of at most $(PLUGIN_LIMIT)"

##@ Checks

.PHONY: test
test: ## Everything that a change must pass: setup, lint, build, unit, e2e, fuzz
	@for step in setup lint build unit e2e fuzz; do \
		echo "== test: $$step"; began=$$SECONDS; \
		$(MAKE) $$step || { echo "== test: $$step FAILED after $$((SECONDS - began)) s"; exit 1; }; \
		echo "== test: $$step passed in $$((SECONDS - began)) s"; \
	done
	@echo "== test: all passed"

.PHONY: lint
lint: rust .venv/ready $(DENY) ## Format, clippy natively and for wasm, documentation, dependencies, shell scripts
	cargo fmt --all --check
	cargo fmt --manifest-path filter/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	cargo clippy --package host-tests --no-default-features --bin demo --quiet -- --deny warnings
	cargo clippy --package portcullis-filter --lib --target wasm32-wasip1 --quiet -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --quiet
	.tools/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	@if [ -x .venv/bin/shellcheck ]; then echo shellcheck; .venv/bin/shellcheck $(filter-out %.py,$(wildcard scripts/*)) deploy/network deploy/certificates .ci/run; \
	else echo "lint: no shellcheck wheel for this machine, scripts not checked"; fi

.PHONY: unit
unit: rust $(RUNNER) ## Tests without a proxy: natively, and the filter's as wasm under Node
	cargo test --package portcullis-filter --package portcullis-cli
	cargo test --package portcullis-filter --lib --target wasm32-unknown-unknown

.PHONY: e2e
e2e: setup $(PLUGIN) $(FAULTY) ## Tests of the compiled plugin in real hosts, Envoy among them
	$(WITH_ENVOY) cargo test $(E2E)

# What an old proxy may do otherwise: decisions, faults, and what it makes of bytes that are no request.
# All that run in a proxy, but for `client_certificates` and `deployment`, which need Envoy 1.38: `untold_certificates` is about that.
OLDEST_TESTS ?= assertion audit_export audit_sinks canaries concurrency corpus desync dpop exposure faults global_rate_limit http2 introspection \
	journeys manifests metrics mtls remote_keys rotation untold_certificates waiting waiting_for_a_limit

.PHONY: e2e-oldest
e2e-oldest: setup $(PLUGIN) $(FAULTY) ## The same in the oldest Envoy that we support, 1.36 (OLDEST_TESTS: which)
	ENVOY="$$(scripts/envoy-oldest)" PORTCULLIS_WASM="$(CURDIR)/$(PLUGIN)" cargo test $(E2E) $(OLDEST_TESTS:%=--test %)

.PHONY: baseline
baseline: rust $(PLUGIN) ## Write down anew what requests cost, as instructions, allocations and host calls; commit it with the reason
	PORTCULLIS_WRITE_BASELINE=1 PORTCULLIS_WASM="$(CURDIR)/$(PLUGIN)" cargo test --quiet $(E2E) --test baseline -- nothing_costs
	@git diff --stat host-tests/baseline.txt

# What is measured is Envoy, the plugin and what stands beside it, all as they are released; the program that asks is not.
.PHONY: bench
bench: setup $(PLUGIN) $(NOOP) $(FLOOR) $(EXT_AUTHZ) ## What a request costs, beside Envoy's own filters, a service, a script and a plugin that does nothing; BENCH=--quick, --curves, --starts, --memory, --contention
	@$(PROGRAMS)
	@$(WITH_ENVOY) target/debug/bench $(BENCH)

# How long `make soak` takes, in seconds.
SOAK_SECONDS ?= 900

.PHONY: soak
soak: setup $(PLUGIN) ## Good and hostile requests for SOAK_SECONDS (900): no growth, no error, every decision that of the native code
	@$(PROGRAMS)
	@$(WITH_ENVOY) target/debug/soak $(SOAK_SECONDS)

# How long `make differential` takes, in seconds; where its search begins, and an input to try again in place of a search.
DIFFERENTIAL_SECONDS ?= 600
SEED ?= 1
REPLAY ?=

.PHONY: differential
differential: rust $(PLUGIN) ## Bytes that nobody has thought of through the native code and the plugin, which must agree, for DIFFERENTIAL_SECONDS (600); SEED, REPLAY=FILE
	@$(PROGRAMS)
	@PORTCULLIS_WASM="$(CURDIR)/$(PLUGIN)" target/debug/differential $(if $(REPLAY),--replay "$(REPLAY)",$(DIFFERENTIAL_SECONDS) $(SEED))

.PHONY: crowd
crowd: rust ## What ten million distinct clients do to a limit's accuracy, as a table; a few minutes
	cargo run --release --locked --package portcullis-filter --example crowd

.PHONY: fuzz
fuzz: rust ## Fuzz each parser and the whole journey for FUZZ_SECONDS (10) each; FUZZ_TARGETS chooses
	@scripts/fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# Which code `make mutants` changes. All guards are 3,400 changes: about an hour. `MUTATE=--again` tries only those that the last run missed.
MUTATE ?= filter/src/guards/**

.PHONY: mutants
mutants: rust $(MUTANTS) ## Change the guards' code (MUTATE chooses) in small ways, and list the changes that no unit test notices and filter/survivors.txt does not explain
	@scripts/mutants.py '$(MUTATE)'

# A build to compare with: SIZES=FORMER.names.wasm
SIZES ?=

.PHONY: sizes
sizes: rust $(PLUGIN) ## What the plugin is made of, in bytes, by crate and by part; SIZES=FILE tells how each has grown since that build
	@scripts/sizes.py $(NAMED) $(SIZES)

.PHONY: reproduce
reproduce: rust ## Build the plugin twice, in two places, and compare; prints its digest
	@scripts/reproduce

.PHONY: sbom
sbom: rust $(PLUGIN) $(CYCLONEDX) ## What the plugin is made of, as CycloneDX and checked against its schema, to build/portcullis.cdx.json
	@scripts/sbom.py $(PLUGIN) > build/portcullis.cdx.json
	@PYTHONPATH="$(CURDIR)/$(CYCLONEDX)" .venv/bin/python scripts/check-sbom.py build/portcullis.cdx.json
	@echo "sbom: build/portcullis.cdx.json"

.PHONY: release-notes
release-notes: rust $(PLUGIN) ## What changed, and the plugin's digest, to build/release-notes.md
	@scripts/release-notes $(PLUGIN) > build/release-notes.md
	@echo "release-notes: build/release-notes.md"

.PHONY: advisories
advisories: rust $(DENY) ## Known vulnerabilities in the dependencies (asks github.com, so not a part of lint)
	.tools/bin/cargo-deny --locked check advisories

##@ House

.PHONY: clean
clean: ## Remove what was built; what `setup` got stays
	rm -rf build target filter/fuzz/target filter/fuzz/artifacts

.PHONY: rust
rust:
	@scripts/rust-toolchain

.venv/ready: requirements.txt scripts/venv
	@scripts/venv
	@touch $@

$(PROVIDER): host-tests/oidc/package.json host-tests/oidc/package-lock.json scripts/provider
	@scripts/provider
	@touch $@

# Tools come from crates.io by exact version with their own lock file. They run for seconds, so they are compiled quickly.
.tools/%: export CARGO_PROFILE_RELEASE_OPT_LEVEL := 1
.tools/%: export CARGO_PROFILE_RELEASE_LTO := off
.tools/%: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS := 16
.tools/%: export RUSTFLAGS :=

$(RUNNER): | rust
	@scripts/tool wasm-bindgen-cli $(BINDGEN) wasm-bindgen-test-runner $@

$(DENY): | rust
	@scripts/tool cargo-deny $(CARGO_DENY) cargo-deny $@

$(MUTANTS): | rust
	@scripts/tool cargo-mutants $(CARGO_MUTANTS) cargo-mutants $@

# Where a crate was compiled is no part of the plugin: the same source gives the same bytes everywhere (`make reproduce`).
$(PLUGIN) $(NOOP) $(FLOOR): export RUSTFLAGS := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo --remap-path-prefix=$(CURDIR)=/portcullis

$(BINARYEN):
	@scripts/binaryen $@

$(CYCLONEDX): | .venv/ready
	@scripts/cyclonedx $@

# Cargo knows best what must be compiled; the copy is touched so that make does not ask again.
$(PLUGIN): $(PLUGIN_SOURCES) scripts/drop-callbacks.py scripts/split-names.py scripts/wasm_module.py | rust $(BINARYEN)
	cargo build --release --locked --package portcullis-filter --target wasm32-wasip1
	@mkdir -p $(@D)
	@scripts/drop-callbacks.py target/wasm32-wasip1/release/portcullis_filter.wasm build/portcullis.entered.wasm
	$(WASM_OPT) build/portcullis.entered.wasm --output $(NAMED)
	@rm build/portcullis.entered.wasm
	@scripts/split-names.py $(NAMED) $@
	@size=$$(wc -c < $@); [ "$$size" -le $(PLUGIN_LIMIT) ] || { \
		echo "build: $@ has $$size bytes, more than $(PLUGIN_LIMIT)" >&2; rm $@; exit 1; }

$(FAULTY): $(PLUGIN_SOURCES) | rust
	cargo build --profile faults --features faults --locked --package portcullis-filter --target wasm32-wasip1
	@mkdir -p $(@D)
	@cp target/wasm32-wasip1/faults/portcullis_filter.wasm $@

$(NOOP) $(FLOOR): build/%.wasm: Cargo.lock rust-toolchain.toml filter/examples/%.rs | rust
	cargo build --release --locked --package portcullis-filter --target wasm32-wasip1 --example $*
	@mkdir -p $(@D)
	@cp target/wasm32-wasip1/release/examples/$*.wasm $@

$(EXT_AUTHZ): Cargo.toml Cargo.lock rust-toolchain.toml $(shell find host-tests/peers/ext-authz -type f) | rust
	cargo build --release --locked --package ext-authz
	@mkdir -p $(@D)
	@cp target/release/ext-authz $@
