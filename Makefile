# Everything runs in .venv, which is made when it is missing or older than the pins. The pinned pip finds them in a third of
# the time that Python 3.11's own takes; and Python compiles what it imports, a part of what pip would compile: it has to be
# allowed to keep it, and begins with what every cell needs (`singlib.runs.warm`).
unexport PYTHONDONTWRITEBYTECODE
PROFILE ?= quick
SPLIT ?= train
PYTHON ?= python3
BIN := .venv/bin
FRESH := .venv/.fresh
QUIETLY := --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help env data paper report test test-slow lab notebooks bench lint clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(FRESH)  ## make .venv, unless it is fresh

$(FRESH): requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "singlib needs Python 3.11; name one with PYTHON=")'
	rm -rf .venv
	$(PYTHON) -m venv .venv
	"$(BIN)/python" -m pip install $(QUIETLY) --constraint requirements.txt --upgrade pip
	PYTHONWARNINGS=ignore "$(BIN)/python" -m pip install $(QUIETLY) --no-compile --requirement requirements.txt --editable .
	"$(BIN)/python" -m singlib.runs.warm < /dev/null
	touch $@

data: env  ## fetch NSynth's eight instruments into data/ (SPLIT=train, SOURCE= another archive or address)
	"$(BIN)/singlib" data --split $(SPLIT) $(if $(SOURCE),--source "$(SOURCE)")

paper: env  ## show the recorded report, train the grid, and rebuild figures and tables (PROFILE=quick)
	$(if $(filter quick,$(PROFILE)),-@"$(BIN)/singlib" report --profile recorded --if-stale)
	@"$(BIN)/singlib" run --profile $(PROFILE); ran=$$?; \
	"$(BIN)/singlib" report --profile $(PROFILE) --if-stale && exit $$ran

report: env  ## rebuild figures and tables from the records at hand (PROFILE=quick)
	"$(BIN)/singlib" report --profile $(PROFILE)

test: env  ## run the tests and check every notebook
	"$(BIN)/pytest" -m "not slow" --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder \
	  --durations=15

test-slow: env  ## run the long campaigns too
	"$(BIN)/pytest"

lab: env  ## open JupyterLab on the notebook to play with
	"$(BIN)/jupyter" lab --notebook-dir=. notebooks/03-play.ipynb

notebooks: env  ## execute the notebooks again and keep their outputs (after a change of numbers)
	"$(BIN)/python" tests/refresh_notebooks.py

bench: env  ## measure speed against the plain reading of the paper and other libraries, and print the ratios
	"$(BIN)/pytest" tests/bench/bench_*.py --quiet --benchmark-disable-gc --benchmark-columns=median,iqr,rounds

lint: env  ## check style
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .

clean:  ## remove the environment, caches and the smoke and quick records; recorded and paper runs stay
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache runs/smoke runs/quick figures/smoke figures/quick
