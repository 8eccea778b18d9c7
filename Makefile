# What a clone is used with: `make demo` and `make test`. Both set up what they need, both build with the dev profile.

target := $(or $(CARGO_TARGET_DIR),target)
host := $(shell rustc -vV | sed -n 's/^host: //p')
peers := $(abspath $(target)/peers)
wasm := --target wasm32-wasip2
guest_workspaces := examples tests/guests bench/guests
workspaces := . sdk-guest tests/peers $(guest_workspaces)

.PHONY: help demo test guests lint bench bench-hub bench-images peers soak device deb bench-board board-functions audit fuzz-check

help:
	@echo "make demo [FOR=20s]  run the example deployment on this machine, for ever or so long"
	@echo "make test            build everything and run all tests"
	@echo "make guests          build the example modules and the tests' guests"
	@echo "make lint            formatting, clippy and documentation, warnings denied"
	@echo "make bench           measure on this machine, with the release build"
	@echo "make bench-hub       put thousands of connections on a hub, and on mosquitto beside it"
	@echo "make bench-images    pull an image of 20 MB from a registry, beside skopeo, and run one"
	@echo "make soak            kill, starve and fill it for long: hundreds of kills, a million messages without a hub"
	@echo "make device          build the program for boards, which has no compiler and no hub; RELEASE=1 as it is shipped"
	@echo "make deb             make the Debian package, with the release build or that of PROFILE=dev"
	@echo "make bench-board     measure memory, start and size of the program for boards"
	@echo "make board-functions note anew which functions that program runs, so that they lie side by side (valgrind)"
	@echo "make audit           check licences, sources and banned crates of all dependencies"

demo: guests
	cargo build -p wasm-edge-cli
	$(target)/debug/wasm-edge run examples/deployments/demo.json --data-dir target/demo $(if $(FOR),--for $(FOR))

test: guests device
	scripts/check-readme.sh
	scripts/check-docs.sh
	scripts/check-manifests.sh examples/deployments/canonical.json \
		host/model/tests/golden/manifests/valid/schema-*.json || [ $$? -eq 2 ] # 2: no Python here to check with
	cd sdk-guest && cargo test --quiet --workspace
	cd examples && cargo test --quiet --workspace --target $(host)
	if command -v cargo-nextest >/dev/null; then \
		cargo nextest run --workspace && cargo test --quiet --workspace --doc; \
	else \
		cargo test --workspace; \
	fi

guests:
	scripts/build-guests.sh

lint:
	for workspace in $(workspaces); do (cd $$workspace && cargo fmt --all --check) || exit 1; done
	cargo clippy --workspace --all-targets -- -D warnings
	cd sdk-guest && cargo clippy --workspace --all-targets -- -D warnings
	cd sdk-guest && cargo clippy $(wasm) -- -D warnings
	cd examples && cargo clippy --workspace $(wasm) -- -D warnings
	cd bench/guests && cargo clippy --workspace $(wasm) -- -D warnings
	cd tests/peers && cargo clippy --release --all-targets --target-dir $(peers) -- -D warnings
	cd tests/guests && cargo clippy --lib --bins --examples $(wasm) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	cd sdk-guest && RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

bench: guests
	cargo build --release -p wasm-edge-cli
	TMPDIR=$(abspath $(target)) $(target)/release/wasm-edge bench --components target/guests/components/bench \
		--demo examples/deployments/demo.json --json $(target)/bench.json $(ROWS)
	$(if $(filter-out --quick,$(ROWS)),,$(MAKE) peers)

# Options of `wasm-edge bench hub` go into LOAD.
bench-hub:
	cargo build --release -p wasm-edge-cli
	scripts/unpack-debian.sh mosquitto /usr/sbin/mosquitto $(peers)/mosquitto
	TMPDIR=$(abspath $(target)) scripts/bench-hub.sh $(target)/release/wasm-edge $(peers)/mosquitto \
		--json $(target)/bench-hub.json $(LOAD)

bench-images: guests
	cargo build --release -p wasm-edge-cli
	scripts/unpack-debian.sh docker-registry /usr/bin/docker-registry $(abspath $(target))/docker-registry
	scripts/unpack-debian.sh skopeo /usr/bin/skopeo $(abspath $(target))/skopeo
	TMPDIR=$(abspath $(target)) scripts/bench-images.sh $(target)/release/wasm-edge \
		target/guests/components/examples/hello.wasm $(abspath $(target))/docker-registry \
		$(abspath $(target))/skopeo --json $(target)/bench-images.json

# What the message store is compared with, beside the figures that `make bench` has just taken.
peers:
	scripts/unpack-debian.sh mosquitto /usr/sbin/mosquitto $(peers)/mosquitto
	cd tests/peers && cargo test --quiet --release --locked --target-dir $(peers) && \
		cargo build --release --locked --target-dir $(peers)
	$(peers)/release/wasm-edge-peers compare --mosquitto $(peers)/mosquitto --json $(target)/peers.json \
		--beside $(target)/bench.json $(filter --quick,$(ROWS))

# The tests of crashes for long, against the release build: KILLS, MESSAGES, FAULTS, CRASHES and SEED say how long and which.
soak: guests
	cargo build --release -p wasm-edge-cli
	WASM_EDGE_BIN=$(abspath $(target))/release/wasm-edge $(if $(SEED),WASM_EDGE_SOAK_SEED=$(SEED)) \
	WASM_EDGE_SOAK_KILLS=$(or $(KILLS),300) WASM_EDGE_SOAK_MESSAGES=$(or $(MESSAGES),1000000) \
	WASM_EDGE_SOAK_FAULTS=$(or $(FAULTS),40) WASM_EDGE_SOAK_CUT_MS=$(or $(CUT_MS),60000) TMPDIR=$(abspath $(target)) \
		cargo test -p wasm-edge-tests --test crash --test offline --test full_disk --test hub_crash --test faults -- --nocapture --test-threads 1
	WASM_EDGE_SOAK_CRASHES=$(or $(CRASHES),20000) WASM_EDGE_SOAK_SEED=$(or $(SEED),$(shell date +%s)) \
	PROPTEST_CASES=$(or $(CASES),2000) cargo test -p wasm-edge-store -p wasm-edge-router

# The tests start it, too.
device:
	scripts/build-device.sh

# Figures of this machine; none of them fails.
bench-board: guests
	cargo build --release -p wasm-edge-cli
	RELEASE=1 scripts/build-device.sh
	TMPDIR=$(abspath $(target)) scripts/bench-board.sh $(target)/device/board/wasm-edge $(target)/release/wasm-edge \
		target/guests/components/examples --json $(target)/bench-board.json

# Which functions a device runs, for the linker of the program for boards. Takes valgrind; worth it after larger changes.
board-functions: guests
	cargo build -p wasm-edge-cli
	CARGO_PROFILE_BOARD_STRIP=none RELEASE=1 scripts/build-device.sh
	TMPDIR=$(abspath $(target)) scripts/bench-board.sh $(target)/device/board/wasm-edge $(target)/debug/wasm-edge \
		target/guests/components/examples --functions packaging/board-functions.txt.gz

deb: profile := $(or $(PROFILE),release)
deb:
	cargo build --profile $(profile) -p wasm-edge-cli
	scripts/make-deb.sh $(target)/$(if $(filter dev,$(profile)),debug,$(profile))/wasm-edge $(target)/deb

# cargo-deny of the machine, or one of our own that is built once.
audit:
	command -v cargo-deny >/dev/null || [ -x target/tools/bin/cargo-deny ] || \
		cargo install --locked cargo-deny --version ^0.20 --root target/tools
	for workspace in $(workspaces); do \
		PATH="$$PATH:$(CURDIR)/target/tools/bin" cargo deny --config deny.toml --workspace \
			--manifest-path $$workspace/Cargo.toml check -A unmatched-skip --hide-inclusion-graph bans licenses sources || exit 1; \
	done

# The fuzz targets; libFuzzer needs a C++ compiler. fuzz/README.md says how to run them.
fuzz-check:
	cargo check --manifest-path fuzz/Cargo.toml --target-dir $(target)/fuzz
