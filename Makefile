# Needs a Rust toolchain (with a C compiler, as Rust has it), Python 3.11 or newer, and make; Node 20 for the
# tests of the Vercel AI SDK, which are left out where there is none, but not in CI. Everything
# else is installed by the targets that need it: Python packages into .venv and .venv-model, cargo's
# tools by `cargo install`, Debian's packages (for `make bench` alone) by apt.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL_VENV := .venv-model
# One profile and one target folder for all that is tested, so that nothing is compiled twice.
TEST_BINARY := $(CURDIR)/target/ci/tokenrouter
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
NEXTEST_VERSION := 0.9.143
DENY_VERSION := 0.20.2
# Of `make fuzz`: authorization, predictor, request, surface, answer, stream, surface, schema, pattern, pattern_time, json_guard or task, and for how long.
TARGET := stream
SECONDS := 60
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find crates migrations -name '*.rs' -o -name '*.toml' -o -name '*.sql' -o -name '*.json' 2>/dev/null)
PYTHON_SOURCES := pyproject.toml $(shell find python -name '*.py' -o -name 'py.typed' 2>/dev/null)

.PHONY: help setup build build-ci test test-format test-lint test-rust test-types test-python \
	demo demo-model test-model bench chaos soak kills streams fuzz deny sbom clean

help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.tests-installed ## Install what the tests need
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	@cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked --version $(NEXTEST_VERSION)

build: ## Build the gateway for use: target/release/tokenrouter
	cargo build --release --locked --bin tokenrouter

build-ci: ## Build the gateway that the tests run: target/ci/tokenrouter
	cargo build --profile ci --locked --bin tokenrouter

test: test-format test-lint test-rust test-types test-python deny ## Run every test

test-format:
	@echo '== formatting'
	cargo fmt --all --check

test-lint: setup
	@echo '== lints'
	cargo clippy --workspace --all-targets --profile ci --locked -- -D warnings

test-rust: setup
	@echo '== Rust tests'
	cargo nextest run --workspace --cargo-profile ci --locked
	@echo '== the fuzz targets, for a few seconds'
	CARGO_TARGET_DIR=$(CURDIR)/target cargo test --manifest-path fuzz/Cargo.toml --profile ci --locked --test smoke

test-types: setup
	@echo '== types of the SDK'
	$(BIN)/python scripts/make_async.py --check
	MYPYPATH=python $(BIN)/mypy --strict python/tokenrouter tests/typed_use.py
	$(BIN)/pyright --pythonpath $(BIN)/python python/tokenrouter tests/typed_use.py

test-python: setup build-ci
	@echo '== black-box tests: the real binary, the SDK, the official clients, the documents, the wheel'
	TOKENROUTER_BIN=$(TEST_BINARY) PYTHONPATH=python $(BIN)/python -m pytest tests --ignore=tests/model

demo: $(VENV)/.product-installed ## Install TokenRouter into .venv, and see it work with no key and no network
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/demo.py

demo-model: $(VENV)/.product-installed $(MODEL_VENV)/.installed ## The same, with a real model answering (builds llama.cpp, some minutes)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/demo.py --model-python $(MODEL_VENV)/bin/python

test-model: setup build-ci $(MODEL_VENV)/.installed ## Test against a real model
	TOKENROUTER_BIN=$(TEST_BINARY) MODEL_PYTHON=$(CURDIR)/$(MODEL_VENV)/bin/python PYTHONPATH=python \
		$(BIN)/python -m pytest tests/model

bench: build ## Measure the gateway beside nginx (installs nginx by apt)
	cargo build --release --locked --bin tokenrouter-load
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || { \
		$(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nginx-light; }
	$(PYTHON) benches/run.py

chaos: setup build ## Providers at their worst, and a cut at every byte of a stream of each dialect
	TOKENROUTER_BIN=$(CURDIR)/target/release/tokenrouter CHAOS_EVERY_BYTE=1 PYTHONPATH=python $(BIN)/python -m pytest -q tests/test_chaos.py

soak: setup build ## Half an hour of mixed faults: nothing lost, held or grown (SOAK='--minutes 2' for less)
	TOKENROUTER_BIN=$(CURDIR)/target/release/tokenrouter $(BIN)/python benches/soak.py $(SOAK)

kills: setup build ## Killed a hundred times under load: what callers saw complete is in the ledger, once (KILLS='--times 5' for less)
	TOKENROUTER_BIN=$(CURDIR)/target/release/tokenrouter $(BIN)/python benches/kills.py $(KILLS)

streams: setup build ## Ten thousand streams at once over each protocol, and what each costs in memory (STREAMS='--streams 100' for less)
	TOKENROUTER_BIN=$(CURDIR)/target/release/tokenrouter $(BIN)/python benches/streams.py $(STREAMS)

fuzz: ## Fuzz one target: make fuzz TARGET=stream SECONDS=60 (needs a nightly compiler)
	@rustup run nightly rustc --version >/dev/null 2>&1 || { \
		echo 'cargo-fuzz needs a nightly compiler. hint: rustup toolchain install nightly' >&2; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 || { echo 'hint: cargo install cargo-fuzz --locked' >&2; exit 1; }
	mkdir -p target/fuzz-corpus/$(TARGET)
	cargo +nightly fuzz run --features libfuzzer $(TARGET) target/fuzz-corpus/$(TARGET) \
		fuzz/seeds crates/providers/tests/golden/requests $(wildcard crates/providers/tests/golden/[acdgmo]*) -- \
		-max_total_time=$(SECONDS)

deny: ## Check licences, bans and sources of what we depend on
	@echo '== dependencies'
	@cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked --version $(DENY_VERSION)
	cargo deny --log-level error check bans licenses sources

sbom: ## Write the bill of materials of what is shipped, in CycloneDX: target/sbom.cdx.json
	$(PYTHON) scripts/make_sbom.py

clean: ## Remove what was built and installed here
	rm -rf target dist $(VENV) $(MODEL_VENV) tests/node/node_modules .pytest_cache .mypy_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		$(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.tests-installed: tests/requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

$(VENV)/.product-installed: $(RUST_SOURCES) $(PYTHON_SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check .
	@touch $@

$(MODEL_VENV)/.installed: tests/model/requirements.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(MODEL_VENV)
	# Not for this very processor: virtual machines name instructions (AMX) that they then refuse. Not from
	# pip's cache either, which may hold a build that is.
	CMAKE_ARGS=-DGGML_NATIVE=OFF $(MODEL_VENV)/bin/python -m pip install --disable-pip-version-check --no-cache-dir \
		-r tests/model/requirements.txt
	@touch $@
