# Two commands: `make demo` trains, evaluates, draws and exports; `make test` checks everything.
PYTHON ?= python3
VENV ?= .venv
RUN ?= runs/digits
CONFIG ?= configs/digits.py
MODEL ?= models/digits
# The server's files for the demo's model are in `serving`; those of another lie beside them.
SERVING ?= $(if $(filter models/digits,$(MODEL)),serving,serving/$(notdir $(MODEL)))
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint

demo: $(VENV)/installed
	$(VENV)/bin/python bin/train.py --config=$(CONFIG) --workdir=$(RUN)
	$(VENV)/bin/python bin/evaluate.py --workdir=$(RUN)
	@echo "drawn, a row for each class:"
	@$(VENV)/bin/python bin/sample.py --workdir=$(RUN) --temperature=0.8
	@echo "exported for TensorFlow Serving, and answered by its loader:"
	@$(VENV)/bin/python bin/export.py --workdir=$(RUN) --output=$(MODEL) --server_config=$(SERVING)
	@$(VENV)/bin/python bin/client.py --saved_model=$(MODEL) --cond=7 --num_samples=16 \
	    --temperature=0.8 --output=$(RUN)/answer.png

test: $(VENV)/installed-test lint
	$(VENV)/bin/python -m pytest -n auto --dist loadfile

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV) || { echo "no virtual environment: apt-get install python3-venv"; exit 1; }
	$(VENV)/bin/pip install --quiet --editable ".[serving]"
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(VENV)/bin/pip install --quiet --editable ".[test]"
	touch $@
