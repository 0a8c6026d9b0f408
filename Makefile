# Every target does its own set-up from nothing but Python and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
CORES := $(shell nproc)
# A worker has whole files, so that what a file shares is made once. There are more of them than cores, because many
# tests wait; ARGS='-n 0' runs all in one process.
PYTEST := $(BIN)/pytest --dist loadfile --no-loadscope-reorder
# Of these files alone: to collect all the others takes each worker longer than most of these tests.
TIMED := $(BIN)/pytest --dist load --numprocesses $(shell expr 1 + $(CORES)) \
	$(shell grep -rl --include='test_*.py' 'mark.timed' tests | sort)
NONE_CHOSEN := test $$? -eq 5
SECOND_LOOK := $(BIN)/python tools/second_look.py $$?
# Tests start hundreds of processes: each would compile the whole package where the environment forbids to keep it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo page quick test test-gpu faults contract lint format clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[line,gentl,pylon,mqtt,opcua,s7,page,oidc,fleet,hub,onnx,int8,ray,demo,dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/inspectd demo $(ARGS)

# What a browser loads of the operator's page, from its sources in tools/page. The result is in the repository.
page: $(INSTALLED)
	$(BIN)/python tools/build_page.py

# While you work: what needs neither the real scoring process, nor torch or scikit-learn, nor another program.
MODELS := backends bank bench evaluation model cli/test_bank.py cli/test_demo.py
quick: $(INSTALLED)
	$(PYTEST) --numprocesses $(shell expr 3 '*' $(CORES)) -m 'not gpu and not system and not timed' $(MODELS:%=--ignore=tests/%) $(ARGS)

# Everything. What looks at milliseconds comes last, when nothing else keeps the processors busy. One or two that
# fail among others are looked at again alone, and named where they hold.
test: $(INSTALLED)
	tools/install_debian_packages.sh
	tools/install_npm_packages.sh $(BIN)/python tests/js
	tools/install_npm_packages.sh $(BIN)/python tools/page
	$(PYTEST) --numprocesses $(shell expr 2 '*' $(CORES)) -m 'not gpu and not timed' $(ARGS) || $(SECOND_LOOK)
	$(TIMED) -m 'timed and not gpu' $(ARGS) || $(SECOND_LOOK)

# Each file in a process of its own: what takes the device from its process fails that file alone.
test-gpu: $(INSTALLED)
	@failed=; for file in $$(grep -rl --include='test_*.py' 'pytest.mark.gpu' tests | sort); do \
		$(BIN)/pytest -m gpu $$file $(ARGS) || { $(NONE_CHOSEN); } || failed="$$failed $$file"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# Every fault with its full count takes about two hours; ARGS='--only NAME --count N' runs less. Takes root.
faults: $(INSTALLED)
	tools/install_debian_packages.sh
	tools/install_npm_packages.sh $(BIN)/python tests/js
	PYTHONPATH=tools:tests $(BIN)/python -m faults $(ARGS)

# Every kind of camera with 1,000 parts takes about half an hour; ARGS='--only NAME --frames N' does less. Takes root.
contract: $(INSTALLED)
	tools/install_debian_packages.sh
	PYTHONPATH=tools:tests $(BIN)/python -m camera_contract $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_imports.py

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) tools/page/node_modules demo-run faults-run *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
