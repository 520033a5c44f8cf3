# The same commands for people and for CI. PYTHON and VENV may be set: make test PYTHON=python3.12 VENV=.venv312
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IMAGES ?=
VLMEVAL_NEEDS := pandas tqdm openpyxl num2words tabulate requests validators python-dotenv portalocker termcolor \
  matplotlib huggingface_hub json_repair sty timeout-decorator

.PHONY: demo test test-vlmeval lint bench picture clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/spatial-ssrl demo $(IMAGES) $(if $(IMAGES),--out runs/demo-images)

test: $(VENV)/.installed
	$(BIN)/python -m pytest

.venv-vlmeval/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-vlmeval
	.venv-vlmeval/bin/python -m pip install --quiet --editable . $(VLMEVAL_NEEDS)
	.venv-vlmeval/bin/python -m pip install --quiet --no-deps ms-vlmeval==0.0.20
	touch $@

test-vlmeval: .venv-vlmeval/.installed
	.venv-vlmeval/bin/python bench/oracles.py

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
