# aestream: `make demo` runs the demo, `make test` runs the tests; both set everything up.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
# The source of torch: `cpu` is PyTorch's own index of CPU wheels, `default` is pip's index (on Linux, with 4 GB of
# CUDA), `auto` tries the first and falls back to the second.
TORCH ?= auto
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
ARGS ?=
# Tests wait more than they compute: two files at a time, the longest first.
SIDE_BY_SIDE := --numprocesses=2 --no-loadscope-reorder

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt
PARTS ?= compared stages hotspots alone latency scaling rebalances growth serving training

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick lint format fuzz bench bench-peers bench-state bench-memory bench-quality chaos soak docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## set up, then run the whole pipeline on real data (ARGS="..." passes options)
	$(BIN)/aestream demo $(ARGS)

test: $(VENV)/.dev ## set up, run all tests, show what they do not cover (ARGS="..." goes to pytest instead)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(if $(ARGS),$(ARGS),--cov --cov-report=term:skip-covered)

test-quick: $(VENV)/.dev ## the tests that need no broker
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/contract tests/docs $(ARGS)

fuzz: $(VENV)/.dev ## 200,000 broken messages through the pipeline, 10 million through the decoder in C (ARGS="..." goes to pytest)
	AESTREAM_TEST_FUZZ_INPUTS=200000 $(BIN)/python -m pytest tests/fuzz -s $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff fix and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## every table of docs/benchmarks.md, on Apache Kafka, in an hour (PARTS="compared alone": some of them)
	@set -e; for part in $(PARTS); do $(BIN)/python -m tests.bench.$$part --write $(ARGS); done

bench-peers: $(VENV)/.dev ## set up the programs that `make bench` compares aestream with
	$(BIN)/python -m venv .cache/peers
	.cache/peers/bin/pip install --quiet --disable-pip-version-check --requirement tests/bench/peers/requirements.txt
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> .cache/peers/lib/python3.$$($(BIN)/python -c 'import sys; print(sys.version_info.minor)')/site-packages/aestream.pth

bench-state: $(VENV)/.dev ## what it costs to remember 100,000 entities: memory, writing, taking over
	$(BIN)/python -m tests.bench.state $(ARGS)

bench-memory: $(VENV)/.dev ## memory of a worker over a million records and ten new models
	$(BIN)/python -m tests.bench.memory $(ARGS)

bench-quality: $(VENV)/.bench ## detection quality on the data in AESTREAM_BENCH_DATA (ARGS="--quick": 5 minutes instead of 50)
	$(BIN)/python -m tests.bench.quality $(ARGS)

chaos: $(VENV)/.dev ## every fault on Apache Kafka, in both modes of delivery, and the table in docs/chaos.md (two hours)
	AESTREAM_TEST_CHAOS=long AESTREAM_TEST_CHAOS_PAGE=docs/chaos.md $(BIN)/python -m pytest tests/chaos $(ARGS)

soak: $(VENV)/.dev ## 10 million records and 20 new models: the worker's memory must grow by less than 5 %
	$(BIN)/python -m tests.bench.memory --records 10000000 --most-growth 0.05 $(ARGS)

docs: $(VENV)/.dev ## rewrite the generated parts of the documentation
	$(BIN)/python -m tests.docs.generate

clean: ## remove the virtual environment and the caches
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .coverage* build *.egg-info speedups/build speedups/*.egg-info

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "aestream needs Python 3.11 or newer: install it, or make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	@set -e; case "$(TORCH)" in auto|cpu|default) ;; *) echo "TORCH must be auto, cpu or default"; exit 2;; esac; \
	if [ "$(TORCH)" != default ] && $(PIP) install --quiet --no-deps --retries 0 --timeout 5 \
		--index-url $(TORCH_CPU_INDEX) --constraint constraints.txt torch 2>$(VENV)/torch.log; then \
		echo "torch: the CPU wheel from PyTorch's own index"; \
	elif [ "$(TORCH)" = cpu ]; then \
		tail -n 3 $(VENV)/torch.log; echo "torch: not available from PyTorch's CPU index; try TORCH=default"; exit 1; \
	else \
		echo "torch: the wheel from pip's default index (several GB on Linux; a minute or two)"; \
		$(PIP) install --quiet --constraint constraints.txt torch; \
	fi
	@touch $@

$(VENV)/.demo: $(SOURCES) $(VENV)/.torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(SOURCES) $(VENV)/.torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test,lint]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@
