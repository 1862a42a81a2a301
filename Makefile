BIN := .venv/bin
INSTALLED := .venv/installed
SPHINX := $(BIN)/python -m sphinx --conf-dir docs --fail-on-warning --keep-going --fresh-env --quiet --doctree-dir build/doctrees

.DEFAULT_GOAL := help
.PHONY: help quickstart test drill lint docs notebooks links audit format clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(INSTALLED) ## install, train the small example and its twin, test them and compare
	$(BIN)/python -m research.cli fit --config configs/quickstart.yaml
	$(BIN)/python -m research.cli test --config configs/quickstart.yaml --ckpt_path last
	$(BIN)/python -m research.cli fit --config configs/quickstart.yaml --config configs/ce_only/quickstart.yaml
	$(BIN)/python -m research.cli test --config configs/quickstart.yaml --config configs/ce_only/quickstart.yaml --ckpt_path last
	$(BIN)/python -m research.cli report --newest runs/quickstart-ce-only runs/quickstart

test: $(INSTALLED) ## install and run the tests; PYTEST_ARGS="-m slow" for the long ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

drill: $(INSTALLED) ## break runs and divide them among processes, in full, which takes long
	$(BIN)/python experiments/faults/drill.py
	$(BIN)/python experiments/processes/equality.py

lint: $(INSTALLED) docs ## check style, format, types, the code for what is unsafe, and the documents
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(INSTALLED) ## build the documentation into site/; a warning or a broken link inside it is an error
	$(SPHINX) . site

notebooks: $(INSTALLED) ## execute the notebooks, and write what they show into them
	$(BIN)/jupyter execute --inplace notebooks/*.ipynb

links: $(INSTALLED) ## look up the links that lead out of the documentation; needs a network
	$(SPHINX) --builder linkcheck . build/links

audit: ## look up known vulnerabilities of what constraints.txt pins; needs a network
	$(BIN)/python -m venv .venv/audit
	.venv/audit/bin/python -m pip install -qq --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

format: $(INSTALLED) ## repair what can be repaired of style and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove tool caches and build products; runs/ and .venv stay
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache $(INSTALLED)
	find . \( -path ./.venv -o -path ./runs \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp: the environment is renewed when what it is made from changes.
$(INSTALLED): pyproject.toml constraints.txt
	@for python in $(BIN)/python python3.11 python3; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done || { echo 'Python 3.11 or newer is needed: install it so that python3.11 or python3 starts it.' >&2; exit 1; }; \
	test $$python = $(BIN)/python || $$python -m venv --clear .venv
	@echo 'Installing into .venv (some minutes the first time) ...'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
