# The verbs of a checkout. Each one installs what it needs first (packaging/provision), and nothing when all is there.
#
#   make test TESTS=tests/unit PYTEST_ARGS='-x -k listen' PROCESSES=0     (0: in pytest's own process, for --pdb)

PYTHON      := .venv/bin/python
TESTS       ?= tests
PYTEST_ARGS ?=
# One more than the processors of a small machine: half of the time a test waits for its servers.
PROCESSES   ?= 3

# The tests start the commands some thousand times: without it each start compiles all of the program anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check simulate bench deb deb-test apt-repository release clean provision provision-demo provision-full

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: provision-demo ## the two outages of January 2019, with real servers: as they were, and with what is built here
	@$(PYTHON) tests/demo/certificate_outage.py
	@$(PYTHON) tests/demo/storage_outage.py

test: provision check ## check, then the tests
	$(PYTHON) -m pytest -m 'not full' --numprocesses $(PROCESSES) $(PYTEST_ARGS) $(TESTS)

test-all: provision-full check ## check, then the tests with the long ones and every version
	$(PYTHON) -m pytest --numprocesses $(PROCESSES) $(PYTEST_ARGS) $(TESTS)

check: provision ## lint, format, types, who may import whom, links of the documentation
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/md-dead-link-check

bench: provision ## how long it takes
	@$(PYTHON) tests/bench/bench.py
	@$(PYTHON) tests/bench/storage.py
	@$(PYTHON) tests/bench/admissions.py
	@$(PYTHON) tests/bench/buckets.py
	@$(PYTHON) tests/bench/uploads.py

SUITES ?= bookworm trixie
deb: provision-full ## Debian packages for each of SUITES, into build/deb; needs root
	@packaging/debs $(SUITES)

deb-test: provision-full ## the packages in really booted Debians that have nothing else of ours; needs root
	$(PYTHON) -m pytest $(PYTEST_ARGS) tests/packages

apt-repository: provision ## an apt repository of those packages, into build/apt (REPOSITORY=…), signed with your KEY=…
	@packaging/apt-repository "$$KEY" $(SUITES)

release: provision-full ## commit, tag and build VERSION=…, into build/release; nothing is published
	@$(PYTHON) packaging/release "$$VERSION" $(SUITES)

SEEDS ?= 1000
FIRST ?= 0
simulate: provision ## play the storage guard in SEEDS simulated worlds, from FIRST on, and show what goes wrong
	@$(PYTHON) tests/simulation/simulate.py --first $(FIRST) --seeds $(SEEDS)

provision:
	@packaging/provision

provision-demo:
	@packaging/provision --demo

provision-full:
	@packaging/provision --full

clean: ## remove what was made here, .venv and the other environments too
	rm -rf .venv .certbots .platforms .go .provision .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	find exodus_certbot hooks tests -name __pycache__ -type d -exec rm -rf {} +
