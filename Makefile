# Two commands do everything on a fresh Debian or Ubuntu machine with Rust, cc and make: `make bench` and `make test`.
# Where no Vulkan driver is found, they install Mesa's software one.

.PHONY: help bench test test-wide web test-web lint driver

help:
	@echo "make bench      GPU against CPU on layers of published models, every result checked; a report in target/bench.html"
	@echo "make test       all tests, on the machine's adapter"
	@echo "make test-wide  the GPU tests again on lavapipe with subgroups of 16"
	@echo "make web        the page, as static files in target/page (Debian 12 or later; installs what is missing)"
	@echo "make test-web   the page and the library in headless Chromium (the same)"
	@echo "make lint       formatting, clippy and documentation, warnings as errors"

driver:
	@./scripts/vulkan.sh

bench: driver
	cargo run --locked --release --features cli -- bench --json target/bench.json --report target/bench.html

test: driver
	cargo test --locked --workspace --features conv1d/cli

# lavapipe takes its vectors, and with them its subgroups, as wide as it is told; other adapters do not look at this.
test-wide: driver
	LP_NATIVE_VECTOR_WIDTH=512 cargo test --locked --workspace --features conv1d/cli --test main -- cases goldens

web:
	@./scripts/web.sh

# In headless Chromium, on its software adapter. Where the packages that it needs cannot be had (77), it has said so and is skipped.
test-web: driver
	@./scripts/test-web.sh || { status=$$?; [ $$status -eq 77 ] || exit $$status; }

lint:
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets --features conv1d/cli,conv1d-web/browser -- -D warnings
	cargo clippy --locked --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
