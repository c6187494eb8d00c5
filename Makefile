# Every target that runs something sets up first; a finished set-up is recognised at once.
PYTHON ?= python3
ARGS ?=
VENV_PYTHON := .venv/bin/python
# A thread for each worker: they share the cores.
PYTEST := OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n auto --maxprocesses 4 --dist worksteal

.PHONY: help ready setup segmentation test lint types docs wheel-check fuzz faults audit release clean

help:
	@echo "make segmentation  set up, then find tissue domains (ARGS=\"--preset tiny\" ...)"
	@echo "make test          set up, then run the tests, up to four at a time (ARGS=\"-k words\", -n 0: one)"
	@echo "make lint          set up, then ruff"
	@echo "make types         set up, then mypy on the public API"
	@echo "make docs          set up, then build the pages and the reference into site/"
	@echo "make wheel-check   set up, then build the wheel and use it in a fresh environment"
	@echo "make fuzz          set up, then 10,000 random inputs against each property"
	@echo "make faults        set up, then kill every command and run it again"
	@echo "make audit         set up, then look for known faults in the pinned packages"
	@echo "make release       set up, then build and check a release; pushes nothing"
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
	$(PYTEST) $(ARGS)

lint: ready
	$(VENV_PYTHON) -m ruff check .

types: ready
	$(VENV_PYTHON) -m mypy $(ARGS)

docs: ready
	@$(VENV_PYTHON) -c "import material, mkdocstrings_handlers.python" 2>/dev/null || \
		$(VENV_PYTHON) -m pip install -qq -r requirements-docs.txt
	NO_MKDOCS_2_WARNING=1 $(VENV_PYTHON) -m mkdocs build --strict --quiet $(ARGS)

wheel-check: ready
	$(VENV_PYTHON) tools/check_wheel.py $(ARGS)

fuzz: ready
	HYPOTHESIS_PROFILE=long $(PYTEST) tests/fuzz $(ARGS)

faults: ready
	$(VENV_PYTHON) benchmarks/faults.py $(ARGS)

audit: ready
	$(VENV_PYTHON) tools/audit.py $(ARGS)

release: ready
	$(VENV_PYTHON) tools/release.py

clean:
	rm -rf .venv build dist site *.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
