# Developer's verbs. `make` alone lists them.
VENV ?= .venv
PY := $(VENV)/bin/python
SEEDS ?= 10000
FIRST ?= 0
BASELINE := benchmarks/results/baseline.json

# Compiles faster than with the flags of Python itself.
export CFLAGS ?= -O2 -g0

.PHONY: help setup ext demo test test-pure test-slow test-links lint format sim bench bench-peers bench-links bench-headers bench-check profile docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q --upgrade pip
	PYTHONWARNINGS=ignore $(VENV)/bin/pip install -q -e '.[dev]'
	@mkdir -p build && touch $@ build/.compiled

setup: $(VENV)/.installed  ## make a virtual environment with everything the tests need

HOT := $(shell find jsp -name '*.pxd')

build/.compiled: $(VENV)/.installed $(HOT) $(HOT:.pxd=.py) $(shell find jsp -name '*.pyx')
	PYTHONWARNINGS=ignore $(PY) -c 'import setuptools; setuptools.setup()' -q build_ext --inplace --force
	@touch $@

ext: build/.compiled  ## compile the hot modules where they lie (setup does; again after a change to one of them)

demo: setup  ## serve a directory, copy it elsewhere over jsp with a progress bar, verify the copy
	$(PY) -m jsp.apps.filesync.demo

test: setup ext  ## run the test suite
	$(PY) -m pytest

test-pure: setup  ## the same without the compiled modules
	JSP_PURE=1 $(PY) -m pytest

test-slow: setup ext  ## the long tests: large files, lossy links, kills at random moments
	$(PY) -m pytest -m slow --timeout 900

test-links: setup ext  ## real sockets over emulated links, all of it (root; test-slow has a sample, chosen by JSP_SEED)
	$(PY) -m pytest tests/netlab -m "slow or links" --timeout 900

lint: setup  ## style, types, layers, house rules
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m pytest tests/test_tidy.py

format: setup  ## let ruff put things in order
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

sim: setup ext  ## run SEEDS simulated scenarios from FIRST on, on all cores
	$(PY) -m tests.sim $(SEEDS) $(FIRST)

# The extra `bench` without a new build of jsp itself.
$(VENV)/.peers: pyproject.toml | setup
	$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], sep="\n")' \
		| $(VENV)/bin/pip install -q -r /dev/stdin
	@touch $@

bench: setup ext  ## measure jsp beside its limits, and many connections (ARGS="--only bulk --rounds 3", ARGS=--help)
	$(PY) -m benchmarks $(ARGS)

bench-peers: setup ext $(VENV)/.peers  ## the same beside other transports and RPC libraries; figures and charts go into docs/
	$(PY) -m benchmarks --peers -o $(BASELINE) $(ARGS)
	$(PY) -m benchmarks.report $(BASELINE)

bench-links: setup ext $(VENV)/.peers  ## jsp, kernel TCP and aioquic over emulated links (root); writes docs/links.md (ARGS=--help)
	$(PY) -m benchmarks.links $(ARGS)
	$(PY) -m benchmarks.links.report

bench-headers: setup ext  ## bytes of headers, datagrams, ACKs for recorded traffic; writes docs/header-compression.md (ARGS=--help)
	$(PY) -m benchmarks.headers $(ARGS)
	$(PY) -m benchmarks.headers.report

bench-check: setup ext $(VENV)/.peers  ## compare ratios with benchmarks/expected.json, fail when one fell (UPDATE=1 writes them)
	$(PY) -m benchmarks.check $(if $(UPDATE),--update)

profile: setup ext  ## show where the time of a packet goes, on either side (ARGS=--help)
	$(PY) -m benchmarks.profile $(ARGS)

docs: setup  ## check the documentation: links, and that its examples run
	$(PY) -m pytest tests/test_docs.py

clean:  ## remove what was made
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find jsp -name '*.so' -delete
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -exec rm -rf {} +
