# The commands of everyday work. What they need is installed by `make setup` and `make setup-tests`.

CARGO ?= cargo
export OSGI_REMOTE_TEST_TOOLS ?= $(CURDIR)/target/test-tools
# Random tests take the same cases each time here, so that a failure is of the change at hand. Another
# number gives others: make test PROPTEST_RNG_SEED=$$RANDOM
export PROPTEST_RNG_SEED ?= 1
# How long threads do what they like with admin and topology manager (tests/admin_storm); 4 without it.
export STORM_SECONDS ?= 60

.PHONY: help setup setup-tests demo test faults simulation fuzz bench lint

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

setup: ## install what the demo and the build need
	@scripts/setup.sh demo

setup-tests: ## install what the tests need: etcd 3.4 and 3.5, iPOPO, HAProxy, nginx, a stand-in in Go
	@scripts/setup.sh tests

demo: setup ## an exporter and a consumer find each other, a third watches; ETCD=host:port for a given etcd
	@scripts/demo.sh $(ETCD)

test: setup-tests ## all tests, against real etcd and real iPOPO
	$(CARGO) test --workspace --all-features --no-fail-fast

faults: setup-tests ## the matrix of real faults, as a table; QUICK=1 for its essential part
	RUST_BACKTRACE=0 $(CARGO) test --all-features --test faults -- --nocapture $(if $(QUICK),the_essential_faults,--ignored any_fault)

simulation: setup ## simulated worlds, and what they covered; WORLDS=N for another number than 10,000
	$(if $(WORLDS),SIM_SCHEDULES=$(WORLDS)) $(CARGO) test --all-features --test simulation -- --nocapture every_simulated

fuzz: setup ## the fuzz targets, FUZZ_SECONDS each (needs nightly Rust and cargo-fuzz)
	@for target in service_info key filter edef; do \
	    $(CARGO) +nightly fuzz run $$target -- -max_total_time=$(or $(FUZZ_SECONDS),60) || exit 1; \
	done

bench: setup-tests ## the embedded registry against etcd 3.5: puts with delivery to 10 watchers; it must not be slower
	$(CARGO) bench --features embedded --bench embedded

lint: setup ## formatting, clippy and documentation, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --no-deps
