# The same commands for people and for CI. PYTHON and VENV may be set: make test PYTHON=python3.12 VENV=.venv312
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IMAGES ?=

.PHONY: demo test lint bench picture clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/spatial-ssrl demo $(IMAGES) $(if $(IMAGES),--out runs/demo-images)

test: $(VENV)/.installed
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python bench/build.py

picture: $(VENV)/.installed
	$(BIN)/python bench/gallery.py docs/tasks.jpg

clean:
	rm -rf runs
