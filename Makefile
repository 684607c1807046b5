# make reanalysis   install into .venv and run the main job into results/mf07-01/
# make test         install and run the tests, in two processes
# make lint         ruff and mypy
# make bench        the speed table (benchmarks/README.md)
# make lock         write requirements.lock anew (needs uv)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: reanalysis test lint bench lock clean

reanalysis: $(STAMP)
	$(BIN)/secondlook reanalyse mf07-01 --out results/mf07-01 --overwrite

test: $(STAMP)
	$(BIN)/pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p secondlook

bench: $(STAMP)
	$(BIN)/python benchmarks/speed.py

lock:
	uv pip compile pyproject.toml --group test --group lint --universal --python-version 3.12 \
	  --generate-hashes --no-header --no-annotate --no-config --no-python-downloads \
	  --upgrade --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist results *.egg-info

# autograd-gamma (a dependency of lifelines) is published without a wheel.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 15))' 2>/dev/null || { \
	  echo "secondlook needs Python 3.12, 3.13 or 3.14, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1): install one and run 'make PYTHON=python3.13 $(or $(firstword $(MAKECMDGOALS)),reanalysis)'." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' has no venv module: install it (on Debian and Ubuntu the package python3-venv) and run make again." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-binary autograd-gamma -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
