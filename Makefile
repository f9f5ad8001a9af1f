# Two commands: `make demo` trains, evaluates, draws and exports; `make test` runs the tests.
# `make test-long` runs those that kill processes, mount, start workers or take long, and Hypothesis
# on fresh examples; it prints the seed, and `make test-long SEED=...` repeats them.
# `make reproduce` runs all of docs/reproduction.md, `make reproduce-fast` a few steps of each part.
PYTHON ?= python3
VENV ?= .venv
RUN ?= runs/digits
CONFIG ?= digits
MODEL ?= models/digits
REPRODUCTION ?= runs/reproduction
PHOTOS ?= photos
# Installed by Debian's dataset-fashion-mnist, or extracted from that package.
FASHION_MNIST ?= $(firstword $(wildcard /usr/share/datasets/fashion-mnist) data/usr/share/datasets/fashion-mnist)
# Modules are compiled when they are first imported: all of them would take two minutes.
PIP = $(VENV)/bin/pip install --quiet --no-compile
unexport PYTHONDONTWRITEBYTECODE
# Idle workers take tests from busy ones.
PYTEST = $(VENV)/bin/python -m pytest -n logical --dist worksteal
SEED := $(shell date +%s)
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo docs test test-long lint reproduce reproduce-fast

# One thread a process, since there is a process for each core.
test test-long: export OMP_NUM_THREADS = 1
test test-long: export TF_NUM_INTEROP_THREADS = 1
test test-long: export TF_NUM_INTRAOP_THREADS = 1

demo: $(VENV)/installed
	$(VENV)/bin/python bin/train.py --config=$(CONFIG) --workdir=$(RUN)
	$(VENV)/bin/python bin/evaluate.py --workdir=$(RUN)
	@echo "drawn, a row for each class:"
	@$(VENV)/bin/python bin/sample.py --workdir=$(RUN) --temperature=0.8
	@echo "exported for TensorFlow Serving, and answered by its loader:"
	@$(VENV)/bin/python bin/export.py --workdir=$(RUN) --output=$(MODEL)
	@$(VENV)/bin/python bin/client.py --saved_model=$(MODEL) --cond=7 --num_samples=16 \
	    --temperature=0.8 --output=$(RUN)/answer.png

test: $(VENV)/installed-test lint
	$(PYTEST) -m "not long"

test-long: $(VENV)/installed-test
	$(PYTEST) -m "long or hypothesis" --hypothesis-profile=fresh --hypothesis-seed=$(SEED)

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

docs: $(VENV)/made
	$(PIP) --editable ".[docs]"
	$(VENV)/bin/python -m sphinx -W -b html docs docs/_build
	@echo "open docs/_build/index.html"

reproduce: $(VENV)/installed-evaluation $(PHOTOS) $(FASHION_MNIST)
	$(VENV)/bin/python -m reproduction --output=$(REPRODUCTION) --photos=$(PHOTOS) \
	    --fashion_mnist=$(FASHION_MNIST)

reproduce-fast: $(VENV)/installed-evaluation $(PHOTOS) $(FASHION_MNIST)
	$(VENV)/bin/python -m reproduction --output=$(REPRODUCTION)-fast --photos=$(PHOTOS) \
	    --fashion_mnist=$(FASHION_MNIST) --fast

$(PHOTOS): | $(VENV)/installed
	$(VENV)/bin/python tools/gather_photos --output=$@

data/usr/share/datasets/fashion-mnist:
	mkdir -p data
	cd data && apt-get download dataset-fashion-mnist && dpkg-deb --extract dataset-fashion-mnist_*.deb .

$(VENV)/made: setup.py
	$(PYTHON) -m venv $(VENV) || { echo "no virtual environment: apt-get install python3-venv"; exit 1; }
	touch $@

$(VENV)/installed: $(VENV)/made
	$(PIP) --editable .
	touch $@

$(VENV)/installed-evaluation: $(VENV)/made
	$(PIP) --editable ".[evaluation]"
	touch $@

$(VENV)/installed-test: $(VENV)/made
	$(PIP) --editable ".[test]"
	touch $@
