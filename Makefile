# Every command of the project. Each word sets up what it needs, from a fresh clone on; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Files of these names must not hide the words, and the words themselves share one machine.
.NOTPARALLEL:
.PHONY: help demo test test-rust test-python test-docs test-package bench lint types layers tidy loom fuzz cpython stress bench-rust \
        docs wheel lock clean main

export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

PY    := .venv/bin/python
# Found only when a word needs it: the script says in a sentence what is missing, and make stops there.
house  = python=$$(scripts/bootstrap) && "$$python" scripts/house.py
each   = $(house) each
# cargo has no watchdog of its own; the limits are several times what a slow machine takes.
limit := timeout --kill-after=10 1200

help: ## this list
	@echo "make WORD, and each WORD alone is enough on a fresh clone:"
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

main: ## .venv with the tools and forkful, optimised, editable
	@$(house) main

demo: main ## the story in a minute: unchanged programs, two jobs, what is advised, a table and a chart
	@$(PY) examples/demo.py

test: test-rust test-python test-package ## all tests, in Rust, and in Python on every CPython 3.10+ of this machine

test-rust: main ## the engine, the crate for Rust programs with its examples and docs, the house rules' own tests
	@$(limit) cargo test --locked

# ONLY=3.13 narrows the next word, PICK='--older json' as .ci/run does; ARGS='-k wait -x' goes to pytest.
test-python: ## the Python tests on every CPython 3.10+ found
	@$(each) $(PICK) --only '$(ONLY)' -- scripts/run_tests.py -n 4 -m 'not stress and not measures' tests/python $(ARGS)
	@$(each) $(PICK) --only '$(ONLY)' -- scripts/run_tests.py -m measures tests/python $(ARGS)

test-docs: main ## every code block of README and docs, run
	@$(PY) -m pytest tests/python/test_docs.py $(ARGS)

test-package: main ## sdist, wheel and crates, built and used where nothing else is
	@$(PY) -m pytest tests/packaging $(ARGS)

bench: ## forkful beside the standard library and pebble, optimised builds
	@$(each) --profile release --only '$(ONLY)' --prefer 3.11,3.13 -- benches/python/run.py $(ARGS)

bench-rust: main ## the engine alone, and the crate for Rust programs beside its peers, by criterion
	@cargo bench --locked -p forkful-core
	@cargo bench --locked -p forkful-benches

lint: layers tidy types ## format, clippy, house rules, ruff, types
	@cargo fmt --all --check
	@PYO3_PYTHON=$(CURDIR)/$(PY) cargo clippy --locked --workspace --all-targets -- -D warnings
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: main ## mypy --strict, and the stubs against the real module
	@$(PY) -m mypy python/forkful scripts $(wildcard tests/python/*typing*.py tests/python/typing)
	@$(PY) -m mypy.stubtest --mypy-config-file pyproject.toml --allowlist tests/stubtest-allowlist.txt forkful

layers: main ## no upward import, in Rust and in Python
	@cargo xtask layers

tidy: main ## file length, safety comments, first lines
	@cargo xtask tidy

# A target directory of its own: another RUSTFLAGS would rebuild the usual one at each change of word.
# Without link-time optimisation, which loom's models gain nothing from.
loom: main ## the engine's state machines in all their interleavings
	@RUSTFLAGS="$${RUSTFLAGS:-} --cfg forkful_loom" CARGO_TARGET_DIR=target/loom CARGO_PROFILE_RELEASE_LTO=off \
	  CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 LOOM_MAX_PREEMPTIONS=$${LOOM_MAX_PREEMPTIONS:-2} \
	  $(limit) cargo test --locked -p forkful-core --release --test loom

# `make test` does the same with fewer regions.
fuzz: main ## random bytes in all that a worker can write, and all that the parent reads there; REGIONS=1000000 for longer
	@FORKFUL_FUZZ_REGIONS=$${REGIONS:-100000} $(limit) cargo test --locked --release -p forkful-core --test it hostile

# CPYTHON='--oldest-newest test.test_concurrent_futures' narrows it as .ci/run does.
cpython: ## CPython's own test suites against forkful, on every Python that has them
	@$(each) $(CPYTHON) --only '$(ONLY)' -- tests/cpython/run.py \
	  $(or $(SUITES),--suite futures --suite processes --suite asyncio --suite queue --suite threading \
	    $(addprefix --suite multiprocessing-,fork forkserver spawn))

stress: ## the tests marked stress, on every CPython 3.10+ found
	@$(each) --only '$(ONLY)' -- -m pytest tests/python -m stress $(ARGS)

docs: ## the documentation, into docs/_build/html
	@$(house) docs
	@$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

wheel: main ## a release wheel and the sdist, into dist
	@.venv/bin/maturin build --locked --release --sdist --interpreter $(PY) --out dist
	@ls -l dist

lock: main ## newest versions into Cargo.lock and requirements/*.txt
	@cargo update
	@for name in test dev docs; do \
	  .venv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.10 \
	    --custom-compile-command 'make lock' --output-file requirements/$$name.txt requirements/$$name.in; \
	done

clean: ## everything that was built, the environments too
	@rm -rf target dist docs/_build demo.png .venv .venvs .mypy_cache .ruff_cache .pytest_cache
	@find python -name '*.so' -delete
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
