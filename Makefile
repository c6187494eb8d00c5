# Every target that runs something sets up first; a finished set-up is recognised at once.
PYTHON ?= python3
ARGS ?=
VENV_PYTHON := .venv/bin/python

.PHONY: help ready setup segmentation test lint clean

help:
	@echo "make segmentation  set up, then find tissue domains (ARGS=\"--preset tiny\" ...)"
	@echo "make test          set up, then run the tests (ARGS=\"-k words\" ...)"
	@echo "make lint          set up, then ruff"
	@echo "make setup         set up; also tries again to build what could not be built"
	@echo "make clean         remove .venv and caches; results/ and the wheel cache stay"
	@echo "Another Python: make PYTHON=python3.12 ...   A CPU build of torch: TORCH_INDEX_URL=..."

ready:
	@$(PYTHON) tools/setup.py

setup:
	@$(PYTHON) tools/setup.py --retry

segmentation: ready
	$(VENV_PYTHON) benchmarks/run.py --task segmentation $(ARGS)

test: ready
	$(VENV_PYTHON) -m pytest $(ARGS)

lint: ready
	$(VENV_PYTHON) -m ruff check .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
