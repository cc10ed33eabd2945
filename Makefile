# make install     virtual environment and installation alone: source .venv/bin/activate uses them
# make train       the same, then the main job: make train ARGS="trainer=smoke seed=1"
# make test        the default tier of tests          make test-slow   the slow tier
# make check       lint, format, types, floors, prose make docs        the generated pages of docs/
# make audit       known vulnerabilities of the pinned packages, by pip-audit (needs the network)
# make test-oldest the default tier with the oldest version that pyproject.toml allows of every requirement (network)
# make mutants     ROOM=metrics: changes lines of aunet/metrics, and counts those that its tests notice
# Tests that need a GPU or real scans: .venv/bin/python -m pytest -m gpu, … -m realdata
#
# Each target installs what it needs once and again only after pyproject.toml or constraints.txt changed.
# PYTHON chooses the interpreter, VENV the environment's folder, ARGS is passed on.

VENV ?= .venv
PYTHON ?=
ARGS ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.PHONY: install train test test-slow check docs audit test-oldest mutants
.DELETE_ON_ERROR:

install: $(VENV)/.installed

train: $(VENV)/.installed
	$(BIN)/python train.py model=attention data=ct150 $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal --maxprocesses 4 $(ARGS)

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal --maxprocesses 2 -m "slow and not gpu and not realdata" $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_prose.py tests/test_package_size.py

docs: $(VENV)/.installed-dev
	$(BIN)/python experiments/presets_table.py
	$(BIN)/python experiments/settings_page.py
	$(BIN)/python experiments/metrics_table.py
	$(BIN)/python experiments/licences_page.py

# Strict: a package whose advisories cannot be looked up fails, instead of passing as one without.
audit: $(VENV)/.installed-dev
	@$(INSTALL) -q pip-audit || { echo "make audit needs the network: pip-audit cannot be installed." >&2; exit 2; }
	@$(BIN)/pip-audit --strict --no-deps --disable-pip -r constraints.txt

test-oldest: $(VENV)-oldest/.installed
	$(VENV)-oldest/bin/python -m pytest -n auto --dist worksteal --maxprocesses 4 -W default::DeprecationWarning \
	  -W default::FutureWarning $(ARGS)

mutants: $(VENV)/.installed-dev
	@$(INSTALL) -q -e '.[mutants]'
	$(BIN)/python experiments/mutants.py $(ROOM) $(ARGS)

# uv works out the versions; pip installs them from where it installs everything else.
$(VENV)-oldest/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing the oldest versions that aunet allows into $(VENV)-oldest"
	@$(INSTALL) -q uv || { echo "make test-oldest needs the network: uv cannot be installed." >&2; exit 2; }
	@rm -rf $(VENV)-oldest && $(BIN)/python -m venv $(VENV)-oldest
	@$(BIN)/uv pip compile -q --python $(BIN)/python --resolution lowest-direct --extra dev pyproject.toml \
	  -o $(VENV)-oldest/constraints.txt
	@$(VENV)-oldest/bin/python -m pip install --disable-pip-version-check -c $(VENV)-oldest/constraints.txt -e '.[dev]'
	@touch $@

$(BIN)/python:
	@for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	  if "$$python" -c "$(FITS)" 2>/dev/null; then \
	    echo "Creating $(VENV) with $$("$$python" --version)"; exec "$$python" -m venv "$(VENV)"; \
	  fi; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 with venv was found$(if $(PYTHON), as PYTHON=$(PYTHON)). Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 2

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing aunet and what it needs into $(VENV)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing aunet, what it needs and the tools of development into $(VENV)"
	@$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.installed $@
