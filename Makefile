# make train   the first thing to try: sets up .venv, trains ASAE for a few minutes, draws its learning curve
# make compare two algorithms, three seeds each, one picture and one page
# make test    style, types and all tests, in the same .venv
# Another interpreter: make train PYTHON=/path/to/python3.11
# PyTorch without CUDA (a tenth of the download): make train TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Tests run side by side, one process for each core, at most four; otherwise: make test WORKERS=2 (0: within pytest's own)

# VMAS (10 MB), ONNX (40 MB) and PySC2 come along, for the tests too; SMAC, which is on GitHub alone, comes with install_sc2.sh.
# s2clientprotocol, from an installation of before, would share its folder with pys2clientprotocol, so both go first.

SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-for-tests
TEST_EXTRAS := requirements-wandb.txt requirements-mongo-test.txt requirements-browser.txt requirements-ray.txt requirements-search.txt
RUN := $(VENV)/bin/python
STEPS ?= 500000
COMPARED ?= 200000
WORKERS ?= auto
CURVE := results/learning_curve.png
export MPLBACKEND := Agg

.PHONY: help train compare test test-slow bench torture omniboard-smoke clean

help:
	@echo "make train      set up .venv, train ASAE on spread for a few minutes, draw its learning curve"
	@echo "make compare    train ASAE and QMIX with three seeds each, draw both, make the report page"
	@echo "make test       style, types and all tests but the slow ones"
	@echo "make test-slow  learning checks of several minutes"
	@echo "make bench      throughput of training and environment, ASAE's critic, memory, the report page"
	@echo "make torture    kill, starve and confuse real runs, and see that they come back bit for bit (12 minutes on two cores)"
	@echo "make omniboard-smoke  the real Omniboard on a real MongoDB, in headless Chromium (Node 20, chromium)"
	@echo "make clean      remove caches (results and .venv stay)"

$(STAMP): requirements.txt requirements-sc2.txt requirements-vmas.txt requirements-onnx.txt
	@test -n "$(PYTHON)" || { echo "No python3 found: install Python 3.11, or give make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed, $(PYTHON) is " + sys.version.split()[0] + ": install it, or give make PYTHON=/path/to/python3.11")'
	@test -x $(RUN) || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV) || { echo "Making $(VENV) failed (Debian and Ubuntu: apt install python3.11-venv)"; rm -rf $(VENV); exit 1; }; }
	@echo "Installing requirements.txt into $(VENV) (a few minutes the first time)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.txt -r requirements-vmas.txt -r requirements-onnx.txt
	@! $(RUN) -m pip show --quiet s2clientprotocol 2> /dev/null || $(RUN) -m pip uninstall --quiet --yes s2clientprotocol pys2clientprotocol
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -r <(grep -v '^smac ' requirements-sc2.txt)
	@touch $@

$(TEST_STAMP): $(STAMP) $(TEST_EXTRAS) requirements-marl-eval.txt
	@echo "Installing $(TEST_EXTRAS) for the tests"
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt $(addprefix -r ,$(TEST_EXTRAS))
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -r requirements-marl-eval.txt
	@touch $@

train: $(STAMP)
	$(RUN) src/main.py --config=asae --env-config=spread with seed=1 t_max=$(STEPS) test_interval=10000
	@$(RUN) src/plot.py "$$(ls -td results/sacred/asae/spread/[0-9]*/ | head -n 1)" --metric test_return_mean --out $(CURVE) > /dev/null
	@echo
	@echo "The learning curve of this run: $(CURDIR)/$(CURVE)"
	@echo "From here on, in every new shell:      source $(VENV)/bin/activate"
	@echo "Another algorithm on the same problem: python src/main.py --config=qmix --env-config=spread"
	@echo "All curves in one picture:             python src/plot.py results --out curves.png"

compare: $(STAMP)
	$(RUN) src/sweep.py --config asae qmix --env-config spread --seeds 3 --results results/compare with t_max=$(COMPARED) test_interval=20000
	@$(RUN) src/plot.py results/compare --metric test_return_mean --center median --table --out results/compare.png
	@$(RUN) src/report.py results/compare --out results/compare/report
	@echo
	@echo "Two algorithms, three seeds: $(CURDIR)/results/compare.png"

# images for containers often forbid Python to keep what it has compiled: here every process would compile all anew
test test-slow: export PYTHONDONTWRITEBYTECODE =

test: $(TEST_STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest -q -m "not slow" -n $(WORKERS) --maxprocesses 4 --dist worksteal

test-slow: $(TEST_STAMP)
	$(RUN) -m pytest -q -m slow

bench: $(STAMP)
	$(RUN) benchmarks/bench_particle.py
	$(RUN) benchmarks/bench_battle.py
	$(RUN) benchmarks/bench_training.py
	$(RUN) benchmarks/bench_critic.py
	$(RUN) benchmarks/bench_report.py
	$(RUN) benchmarks/bench_memory.py
	$(RUN) benchmarks/bench_memory.py --env-config battle --fill -- env_args.map_name=27m_vs_30m

torture: $(STAMP)
	$(RUN) benchmarks/torture.py

omniboard-smoke: $(TEST_STAMP)
	$(RUN) tests/omniboard_smoke.py

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .numba_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
