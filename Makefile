# What CI runs, and what a contributor runs. Every target works in an environment with the extras `dev` and `docs`:
#   python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e ".[dev,docs]" && source .venv/bin/activate
PYTHON ?= python
export HF_HUB_OFFLINE = 1

.PHONY: help lint format types test doctest examples docs serve-docs diagrams model-cards check-model-cards quickstart minimum-versions fuzz clean

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

lint:  ## Check style and formatting.
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format:  ## Format the code and fix what can be fixed.
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

types:  ## Check types.
	$(PYTHON) -m mypy

test:  ## Run all tests.
	$(PYTHON) -m pytest

doctest:  ## Run the examples in docstrings.
	$(PYTHON) -m pytest tests/test_docstrings.py

examples:  ## Run the Python examples of the documentation.
	$(PYTHON) docs/_scripts/run_examples.py

docs:  ## Build the documentation into site/; warnings are errors.
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

serve-docs:  ## Serve the documentation on localhost, and rebuild it on changes.
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs serve

diagrams:  ## Draw the diagrams and the grounding picture of the documentation anew.
	$(PYTHON) docs/_scripts/diagrams.py
	$(PYTHON) docs/_scripts/grounding_picture.py
	$(PYTHON) examples/quickstart.py --cases 2 --output docs/assets/hits.webp

model-cards:  ## Write the package's model code into the exported checkpoints.
	$(PYTHON) -m tiger_fg_hf.export.refresh_code model_cards/*

check-model-cards: model-cards  ## Fail if the exported checkpoints carried other code than the package.
	git diff --exit-code -- model_cards

quickstart:  ## Run the quickstart, which writes quickstart.png.
	$(PYTHON) examples/quickstart.py

minimum-versions:  ## Run the tests with the oldest versions that pyproject.toml allows (needs uv).
	uv venv --clear .venv-minimum
	uv pip install --python .venv-minimum --torch-backend cpu --resolution lowest-direct -e ".[test]"
	.venv-minimum/bin/python -m pytest

N ?= 20000
fuzz:  ## Attack reading, encoding and training: N broken pictures and records, kills, full disks, damaged files (hours).
	PYTHONPATH=src:tests/fixtures $(PYTHON) -m tests.fuzz --number $(N) --output fuzz

clean:  ## Remove what builds and tests leave behind.
	rm -rf build dist site .venv-minimum .pytest_cache .ruff_cache .mypy_cache quickstart.png
	find . -name __pycache__ -not -path './.venv*' -type d -prune -exec rm -rf {} +
