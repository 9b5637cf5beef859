# Two commands do everything on a fresh Debian or Ubuntu machine with Rust, cc and make: `make bench` and `make test`.
# Where no Vulkan driver is found, they install Mesa's software one.

.PHONY: help bench test test-wide test-swiftshader choices web test-web check-targets check-target lint driver

help:
	@echo "make bench      GPU against CPU on layers of published models, every result checked; a report in target/bench.html"
	@echo "make test       all tests, on the machine's adapter"
	@echo "make test-wide  the GPU tests again on lavapipe with subgroups of 16"
	@echo "make choices    writes tests/choices.txt again: the planner's choices for the layers of the suite"
	@echo "make web        the page, as static files in target/page (Debian 12 or later; installs what is missing)"
	@echo "make test-web   the page and the library in headless Chromium (the same)"
	@echo "make lint       formatting, clippy and documentation, warnings as errors"
	@echo "make test-swiftshader  a share of the GPU tests on SwiftShader, Chromium's Vulkan driver, where it is there"
	@echo "make check-targets     type-checks everything for Windows, macOS and Android (Debian 12 or later)"

driver:
	@./scripts/vulkan.sh

bench: driver
	cargo run --locked --release --features cli -- bench --json target/bench.json --report target/bench.html

test: driver
	cargo test --locked --workspace --features conv1d/cli

# lavapipe takes its vectors, and with them its subgroups, as wide as it is told; other adapters do not look at this.
test-wide: driver
	LP_NATIVE_VECTOR_WIDTH=512 cargo test --locked --workspace --features conv1d/cli --test main -- cases::named goldens

# After a change of a prediction; the difference belongs in the same commit.
choices:
	CONV1D_WRITE_CHOICES=1 cargo test --locked --features cli --test main -- choices

web:
	@./scripts/web.sh

# Where the packages that one of these needs cannot be had (77), it has said so and is skipped.
OR_SKIPPED = || { status=$$?; [ $$status -eq 77 ] || exit $$status; }

# In headless Chromium, on its software adapter.
test-web: driver
	@./scripts/test-web.sh $(OR_SKIPPED)

test-swiftshader: driver
	@./scripts/test-swiftshader.sh $(OR_SKIPPED)

check-targets:
	@./scripts/check-targets.sh $(OR_SKIPPED)

# One of them, another with each commit.
check-target:
	@./scripts/check-targets.sh one $(OR_SKIPPED)

lint:
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets --features conv1d/cli,conv1d-web/browser -- -D warnings
	cargo clippy --locked --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
