# Two commands do everything on a fresh Debian or Ubuntu machine with Rust, cc and make: `make bench` and `make test`.
# If no Vulkan driver is found, they install Mesa's software driver.

.PHONY: help bench test test-wide test-swiftshader choices counts web test-web check-targets check-target lint driver

help:
	@echo "make bench      times GPU and CPU on layers of published models, checks every result; report in target/bench.html"
	@echo "make test       all tests, on the machine's adapter"
	@echo "make test-wide  the GPU tests again on lavapipe with subgroups of 16"
	@echo "make choices    rewrites tests/choices.txt, the planner's choices for the layers of the suite"
	@echo "make counts     rewrites tests/counts.txt, the counts of these choices"
	@echo "make web        builds the page as static files in target/page (Debian 12 or later; installs missing tools)"
	@echo "make test-web   tests the page and the library in headless Chromium (the same requirements)"
	@echo "make lint       formatting, clippy and documentation, warnings as errors"
	@echo "make test-swiftshader  a part of the GPU tests on SwiftShader, Chromium's Vulkan driver, if it is installed"
	@echo "make check-targets     type-checks everything for Windows, macOS and Android (Debian 12 or later)"

driver:
	@./scripts/vulkan.sh

bench: driver
	cargo run --locked --release -p conv1d-cli -- bench --json target/bench.json --report target/bench.html

test: driver
	cargo test --locked --workspace

# This variable sets the width of lavapipe's vectors, and with it of its subgroups; other adapters ignore it.
test-wide: driver
	LP_NATIVE_VECTOR_WIDTH=512 cargo test --locked --workspace --exclude conv1d-web --test main -- cases::named goldens networks::

# Run this after a change of a prediction, and commit the difference with it.
choices:
	CONV1D_WRITE_CHOICES=1 cargo test --locked -p conv1d --features suite --test main -- choices

# Run this after a change of a kernel or of a choice, and commit the difference with it.
counts:
	CONV1D_WRITE_COUNTS=1 cargo test --locked -p conv1d --features suite,paper --test main -- counts

web:
	@./scripts/web.sh

# A script that cannot get its packages says so and exits with 77: its target is skipped.
OR_SKIPPED = || { status=$$?; [ $$status -eq 77 ] || exit $$status; }

# In headless Chromium, on its software adapter.
test-web: driver
	@./scripts/test-web.sh $(OR_SKIPPED)

test-swiftshader: driver
	@./scripts/test-swiftshader.sh $(OR_SKIPPED)

check-targets:
	@./scripts/check-targets.sh $(OR_SKIPPED)

# Checks one of the targets, another with each commit.
check-target:
	@./scripts/check-targets.sh one $(OR_SKIPPED)

lint:
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets --features conv1d-web/browser -- -D warnings
	cargo clippy --locked -p conv1d --lib --no-default-features -- -D warnings
	cargo clippy --locked -p conv1d-nn --lib -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
