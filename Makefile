# Every target makes its own environment in .venv (test-conformance a second one); the second call starts at once.
#   make setup              the environment, and nothing else
#   make demo               demonstrations -> policy -> critic -> steering -> artefact -> arm, with a report (outputs/demo)
#   make test               the quick tests
#   make check              lint, format, types, quick tests: what a change has to pass
#   make bench              every benchmark, one table and one line of JSON each
#   make test-slow          the slow tests: trainings that must reach a success rate, long control loops
#   make test-contracts     only the contracts: what every policy, task, robot and driver of ours (or yours) has to satisfy
#   make test-conformance   lerobot, rerun, robomimic and minari read our datasets and we read theirs: an environment of its own, ffmpeg needed
#   make test-environments  Meta-World, gym-aloha, OGBench, robosuite and the like, each in its own interpreter
#   make venv-NAME          an interpreter for environments of others: metaworld, aloha, ogbench, robosuite (docs/environments.md)

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
ARGS ?=
# Without a GPU, PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" saves some gigabytes of CUDA libraries.
PIP_ARGS ?=

CONFORMANCE := .venv-conformance
CONFORMANCE_STAMP := $(CONFORMANCE)/.installed
CONFORMANCE_PINS := $(addprefix tests/conformance/,requirements-torch.txt requirements.txt requirements-alone.txt constraints.txt)

VENVS := metaworld aloha ogbench robosuite

.PHONY: setup demo test check bench test-slow test-contracts test-conformance test-environments ffmpeg $(addprefix venv-,$(VENVS))

setup: $(STAMP)

# The stamp is written last: an interrupted installation is started again.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || { test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; } \
		|| { echo "error: waldo needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv; the first time takes a few minutes."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[dev,pusht,pybullet,robots,identify]'
	@touch $@

demo: $(STAMP)
	$(BIN)/waldo demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not conformance" $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not conformance" $(ARGS)

bench: $(STAMP)
	$(BIN)/waldo bench all $(ARGS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(ARGS)

test-contracts: $(STAMP)
	$(BIN)/python -m pytest tests/test_contracts.py $(ARGS)

test-conformance: ffmpeg $(STAMP) $(CONFORMANCE_STAMP)
	$(BIN)/python -m pytest -m conformance tests/conformance $(ARGS)

test-environments: $(STAMP) $(addprefix venv-,$(VENVS))
	$(BIN)/python -m pytest -m conformance tests/sim/test_foreign_envs.py $(ARGS)

ffmpeg:
	@command -v ffmpeg >/dev/null || { echo "error: ffmpeg is not on PATH, and lerobot decodes video with its libraries; say apt-get install ffmpeg"; exit 2; }

# The official programs want other versions than ours, and their metadata contradict each other: the order and --no-deps settle that.
$(CONFORMANCE_STAMP): $(CONFORMANCE_PINS)
	test -x $(CONFORMANCE)/bin/python || $(PYTHON) -m venv $(CONFORMANCE)
	@echo "Installing the official programs into $(CONFORMANCE); the first time takes a few minutes."
	$(CONFORMANCE)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c tests/conformance/constraints.txt \
		-r tests/conformance/requirements-torch.txt
	$(CONFORMANCE)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c tests/conformance/constraints.txt \
		-r tests/conformance/requirements.txt
	$(CONFORMANCE)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps -r tests/conformance/requirements-alone.txt
	@touch $@

# Environments of others, each with the MuJoCo that it needs. Everything is pinned, hence --no-deps.
$(addprefix venv-,$(VENVS)): venv-%: .venv-%/.installed
.venv-%/.installed: sim/foreign/venvs/%.txt
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	@echo "Installing $* into .venv-$*; the first time takes a minute."
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@
