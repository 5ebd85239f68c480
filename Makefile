# The only entry: every recipe installs what it lacks. What takes more than a few lines is in tests/tools/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PORT ?= 8080

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do \
	    printf '  make %-10s %s\n' "$$name" "$$text"; done

.PHONY: setup setup-build
setup: ## installs what the tests need and is missing (Debian)
	@tests/tools/setup.sh all
setup-build:
	@tests/tools/setup.sh build

.PHONY: demo
demo: setup-build ## simulator, gateway and sample app on loopback; PORT=8080 and the three above it
	@tests/tools/demo.sh

.PHONY: test
test: setup ## everything that must hold; the last line counts
	@tests/tools/test.sh

.PHONY: check
check: setup-build ## formatting, lints and documentation, without the tests
	@tests/tools/test.sh check

.PHONY: browser
browser: setup ## a real browser through the demo; screenshots in .demo/screenshots
	@tests/tools/browser.sh

.PHONY: pages
pages: setup ## every page in every language, judged by axe-core in a browser; screenshots in .demo/pages (minutes)
	@tests/tools/pages.sh

.PHONY: faults
faults: setup ## plants faults and shows that the suites notice each of them (minutes)
	@tests/tools/faults.sh

.PHONY: streams
streams: setup-build ## sessions end while streams are open, STREAMS=2500 of them; not one may outlive its session
	@tests/tools/streams.sh

.PHONY: kills
kills: setup-build ## kill -9 under load, KILLS=100 times, and what of it was lost (minutes)
	@tests/tools/kills.sh

.PHONY: kits
kits: setup ## the verification kits with their real runtimes, against the vectors and the gateway (minutes)
	@tests/tools/setup.sh kits
	@tests/tools/kits.sh

.PHONY: proxies
proxies: setup-build ## forward-auth with real proxies: nginx and Caddy with the examples of deploy/
	@tests/tools/setup.sh proxies
	@cargo build --quiet --workspace --bins
	@cargo test --quiet --test scenarios forward_auth:: -- --include-ignored

.PHONY: upgrade
upgrade: setup-build ## 200 reloads and 20 hand-overs under load, and what clients noticed of it (minutes)
	@tests/tools/upgrade.sh

.PHONY: skew
skew: setup-build ## an older binary beside this one, on one store and one set of keys; OLD=<rev> (minutes)
	@tests/tools/setup.sh store
	@tests/tools/skew.sh

.PHONY: replicas
replicas: setup-build ## three replicas behind HAProxy with a Redis: logouts, store calls, failures under load (10 minutes)
	@tests/tools/setup.sh fleet
	@tests/tools/replicas.sh

.PHONY: soak
soak: setup-build ## the same replicas with reloads, rotations, hand-overs and restarts for MINUTES=30; who was mixed up
	@tests/tools/setup.sh fleet
	@tests/tools/replicas.sh soak $${MINUTES:-30}

.PHONY: bench
bench: setup-build ## CPU for each request, beside bare Pingora (docs/performance.md)
	@cargo build --quiet --release --package portvakt-simulator --bin portvakt-simulator
	@cargo bench --bench gateway

.PHONY: fmt
fmt: ## formats the sources
	@cargo fmt --all

.PHONY: deny
deny: setup-build ## licences, advisories and banned crates; installs cargo-deny the first time (minutes)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	@cargo deny check

.PHONY: model
model: setup-build ## ten thousand histories of replicas and a store that breaks and lies (minutes); SEEDS=n
	@PORTVAKT_MODEL_SEEDS=$${SEEDS:-10000} cargo test --release -p portvakt-core --lib revocation::stream::model
