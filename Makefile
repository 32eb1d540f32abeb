# What one can do here. `make` lists it; `make demo` and `make test` do all the set-up themselves.

# The interpreter that the environment is made from; constraints.txt is made for Python 3.11.
PYTHON ?= python3
# A package index with CPU builds of torch, where the configured ones hold none; pip's default build for Linux
# brings several GB of CUDA libraries.
TORCH_INDEX ?=

BIN := .venv/bin
READY := .venv/.ready
DOCS_READY := .venv/.docs-ready

# register-folder: a folder with <name>_fixed.* and <name>_moving.* files, and where the results go.
PAIRS ?= pairs
OUT ?= registered

# measure, pretrain-*: the folder that relative paths of their recipes start from. adapt-tables: where srif-* are.
DATA ?= data
# mutants: faults that are tried at a time.
JOBS ?= 1
# adapt-tables: the weights that are adapted, a path or the name of a model.
WEIGHTS ?= xmatch-small

help:             ## list what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

venv: $(READY)    ## set up .venv with the pinned packages

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check \
	    $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[dev]'
	touch $@

demo: $(READY)    ## register the two sample pairs and say where the reports are
	mkdir -p demo-output
	$(BIN)/xmatch register sample_data/optical.tif sample_data/sar.tif \
	    -o demo-output/sar.registered.tif --overwrite
	$(BIN)/xmatch register sample_data/histology.ome.tif sample_data/fluorescence.ome.tif \
	    -o demo-output/fluorescence.registered.ome.tif --overwrite
	@echo; echo "Reports, to open in a browser:"; ls $(CURDIR)/demo-output/*.html

test: $(READY)    ## run the tests, each file in one of as many processes as there are cores, 4 at most
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(READY)    ## check the style
	$(BIN)/ruff check .

format: $(READY)  ## lay the code out as it should be
	$(BIN)/ruff format .

format-check: $(READY) ## say which files are not laid out as they should be
	$(BIN)/ruff format --check .

types: $(READY)   ## check the types
	$(BIN)/mypy

smoke: $(READY)   ## build what ships, install it where nothing else is, and try it there
	.ci/smoke $(BIN) $(TORCH_INDEX)

docs: $(DOCS_READY) ## build the site of the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(DOCS_READY): $(READY)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

mutants: $(READY) ## plant the faults of tests/mutants.toml one at a time; goes on where it stopped, says which survive
	$(BIN)/python benchmarks/mutants.py --jobs $(JOBS)

bench: $(READY)   ## write docs/benchmarks.md anew from benchmarks/results
	$(BIN)/python benchmarks/write_tables.py

measure: $(READY) ## measure on the pairs of recipes/eval-srif-*.yaml, found under DATA
	for recipe in recipes/eval-srif-*.yaml; do $(BIN)/xmatch eval $$recipe --data $(DATA) || [ $$? -eq 8 ] || exit 1; done

pretrain-fields: $(READY) ## train the network that comes with the package, as it was trained, into runs/; goes on where it stopped
	$(BIN)/xmatch pretrain recipes/pretrain-fields.yaml --data $(DATA)

pretrain-small: $(READY) ## train the small dense matcher on images found under DATA, into runs/; goes on where it stopped
	$(BIN)/xmatch pretrain recipes/pretrain-small.yaml --data $(DATA)

adapt-tables: $(READY) ## adapt on SRIF, found under DATA, as the few-shot paper's tables want; goes on where it stopped
	$(BIN)/python benchmarks/adapt_tables.py $(DATA) --weights $(WEIGHTS) -o adapt-tables

register-folder: $(READY) ## register each PAIRS/<name>_moving.* onto <name>_fixed.*, into OUT
	mkdir -p $(OUT)
	$(BIN)/python recipes/list_pairs.py $(PAIRS) > $(OUT)/pairs.csv
	$(BIN)/xmatch register --pairs $(OUT)/pairs.csv --output $(OUT) --keep-going > $(OUT)/results.jsonl

sample-data: $(READY) ## draw the sample images again
	$(BIN)/python sample_data/make_sample_data.py

clean:            ## remove what was made here
	rm -rf .venv .mypy_cache demo-output build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format format-check types smoke mutants docs bench measure pretrain-fields pretrain-small adapt-tables register-folder sample-data clean
