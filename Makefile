# Everything that is done with this repository, each thing one word: `make help` lists them.
# Each target builds what it needs by itself; a second call finds it done.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The first of these that runs and is new enough; `make PYTHON=/path/to/python3.11 ...` decides otherwise.
PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

SERVE := .venv/.serve-ready
DEV := .venv/.dev-ready
TRAINING := .venv-training/.ready
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# Pins an old torch, which is why it comes without its dependencies; only its weights are wanted.
FACENET_PYTORCH := facenet-pytorch==2.6.0
PORT ?= 8000

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- environments -------------------------------------------------------------------------------

.PHONY: setup
setup: $(SERVE) ## Build .venv, what serving needs and no more (no torch).

.PHONY: setup-training
setup-training: $(TRAINING) ## Build .venv-training, with torch, for export and training.

$(SERVE): requirements/serve.txt pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "Cohort needs Python 3.11 or newer: install it, or name it with make PYTHON=..." >&2; exit 1; }
	@echo "building .venv with $(PYTHON)"
	@[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP_INSTALL) --require-hashes --requirement requirements/serve.txt
	@.venv/bin/python $(PIP_INSTALL) --no-deps --editable .
	@touch $@

$(DEV): $(SERVE) requirements/dev.txt
	@echo "adding the tools for tests and checks to .venv"
	@.venv/bin/python $(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt
	@touch $@

$(TRAINING): requirements/training.txt
	@[ -n "$(PYTHON)" ] || { echo "Cohort needs Python 3.11 or newer: install it, or name it with make PYTHON=..." >&2; exit 1; }
	@echo "building .venv-training with $(PYTHON)"
	@[ -x .venv-training/bin/python ] || $(PYTHON) -m venv .venv-training
	@.venv-training/bin/python $(PIP_INSTALL) --requirement requirements/training.txt
	@.venv-training/bin/python $(PIP_INSTALL) --no-deps $(FACENET_PYTORCH)
	@touch $@

# --- the service --------------------------------------------------------------------------------

.PHONY: run
run: setup ## Start the service on http://127.0.0.1:8000 (PORT=... for another port).
	@[ ! -x .venv-training/bin/python ] || export COHORT_TRAINING_PYTHON=$${COHORT_TRAINING_PYTHON:-$$PWD/.venv-training/bin/python}; \
	COHORT_PUBLIC_DOCS=$${COHORT_PUBLIC_DOCS:-true} exec .venv/bin/cohort serve --port $(PORT)

.PHONY: demo
demo: setup ## Enrol and identify the pictures of tests/data and say what was seen.
	@.venv/bin/cohort demo

.PHONY: secrets
secrets: ## Make passwords and the encryption key for docker-compose.yml, into secrets/; what is there stays.
	@deploy/secrets.sh secrets

# --- checks -------------------------------------------------------------------------------------

.PHONY: check
check: lint types contracts test ## Everything that must be green before a change goes in.

.PHONY: lint
lint: $(DEV) ## Format and lint with ruff.
	.venv/bin/ruff format --check
	.venv/bin/ruff check

.PHONY: types
types: $(DEV) ## Type-check with mypy --strict.
	.venv/bin/mypy

.PHONY: contracts
contracts: $(DEV) ## Who may import whom, with import-linter.
	.venv/bin/lint-imports

# Half of the tests' time is waiting: for servers to start, for what is to happen within a second. Each process has
# servers of its own. With more of them than processors, tests of what must happen in time fail now and then.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile

.PHONY: test
test: $(DEV) $(TRAINING) ## All tests: serving ones without torch, then those that need it.
	.venv/bin/python -m pytest $(SIDE_BY_SIDE) -m "not torch"
	.venv-training/bin/python -m pytest $(SIDE_BY_SIDE) -m torch

.PHONY: test-quick
test-quick: $(DEV) ## The tests that take no long time, without torch.
	.venv/bin/python -m pytest -m "not torch and not slow"

.PHONY: audit
audit: $(DEV) ## Ask an advisory service about the pinned packages; says NOT CHECKED where there is none.
	.venv/bin/python .ci/audit.py

.PHONY: docs
docs: $(DEV) ## Check that the documents name every command, setting and error, and that their examples hold.
	.venv/bin/python -m pytest tests/test_docs.py

# --- files that are made by command -------------------------------------------------------------

.PHONY: openapi
openapi: $(SERVE) ## Write the OpenAPI document that the tests compare with.
	.venv/bin/cohort openapi > docs/openapi.json

# A pin stays as it is while pyproject.toml allows it; delete the files first to take the newest.
# training.txt has no hashes and torch no local version: each machine takes its own build of torch.
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --quiet --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

.PHONY: lock
lock: $(DEV) ## Resolve pyproject.toml into requirements/{serve,dev,training,worker}.txt.
	$(PIP_COMPILE) --generate-hashes --extra embedded --extra s3 --extra tracing --output-file requirements/serve.txt pyproject.toml
	$(PIP_COMPILE) --generate-hashes --extra embedded --extra s3 --extra tracing --extra dev \
		--constraint requirements/serve.txt --output-file requirements/dev.txt pyproject.toml
	$(PIP_COMPILE) --extra embedded --extra s3 --extra tracing --extra dev --extra export --extra dask \
		--constraint requirements/dev.txt --output-file requirements/training.txt pyproject.toml
	$(PIP_COMPILE) --extra embedded --extra s3 --extra tracing --extra train \
		--constraint requirements/training.txt --output-file requirements/worker.txt pyproject.toml
	@sed -i -e '/^cohort @ /,/# via cohort/d' -e 's/^\(torch==[0-9.]*\)+.*/\1/' requirements/{training,worker}.txt

# --- measurements -------------------------------------------------------------------------------

LFW_HOLDS := the pictures of Labeled Faces in the Wild, one folder a person
PROTOCOL_HOLDS := pairs.txt and the lists of the protocols
STORE_HOLDS := an embedding store of real pictures, made by training

# Comes before the environments are built: a missing folder is said at once.
.PHONY: need-LFW need-PROTOCOL need-STORE
need-LFW need-PROTOCOL need-STORE: need-%:
	@[ -n "$($*)" ] || { echo "say $*=<folder>: $($*_HOLDS)" >&2; exit 2; }
	@[ -d "$($*)" ] || { echo "$*=$($*) is not a folder" >&2; exit 2; }

.PHONY: bench-detect
bench-detect: need-LFW setup-training ## Our detector against facenet-pytorch's on 1,000 pictures (LFW=...).
	.venv-training/bin/python -m benchmarks.bench_detect --lfw $(LFW)

.PHONY: bench-lfw
bench-lfw: need-LFW need-PROTOCOL setup setup-training ## Verification and open-set identification on LFW (LFW=... PROTOCOL=...).
	.venv/bin/python -m benchmarks.bench_lfw --lfw $(LFW) --protocol $(PROTOCOL) \
		--training-python .venv-training/bin/python

.PHONY: bench-live
bench-live: need-LFW need-PROTOCOL setup setup-training ## Half of LFW's people enrolled live, before and after a retraining (LFW=... PROTOCOL=...).
	.venv/bin/python -m benchmarks.bench_live --lfw $(LFW) --protocol $(PROTOCOL) \
		--training-python .venv-training/bin/python

.PHONY: bench-fpir
bench-fpir: need-LFW need-PROTOCOL setup ## Strangers who pass against how many were to, on LFW (LFW=... PROTOCOL=...).
	.venv/bin/python -m benchmarks.bench_fpir --lfw $(LFW) --protocol $(PROTOCOL)

.PHONY: bench-swap
bench-swap: setup setup-training ## Bundles swapped under load, and what a retraining costs those who identify.
	.venv-training/bin/python -m benchmarks.bench_swap --service-python .venv/bin/python

.PHONY: bench-replicas
bench-replicas: $(DEV) ## How soon, and how surely, three replicas see each other's writes.
	.venv/bin/python -m benchmarks.bench_replicas

.PHONY: chaos
chaos: $(DEV) ## Kill, freeze and starve each part of a cluster under load: is anything lost? (FAULTS=... for some of them)
	.venv/bin/python -m benchmarks.chaos $(if $(FAULTS),--only $(FAULTS))

.PHONY: bench-latency
bench-latency: need-LFW need-PROTOCOL setup setup-training ## Milliseconds a request, requests a second (LFW=... PROTOCOL=...).
	.venv-training/bin/python -m benchmarks.bench_latency --lfw $(LFW) --protocol $(PROTOCOL) \
		--service-python .venv/bin/python

.PHONY: fuzz
fuzz: $(DEV) ## schemathesis on the running service, then 2,000 pictures and archives made to harm; fails if anything does.
	.venv/bin/python -m benchmarks.fuzz

.PHONY: soak
soak: setup ## 20,000 identifications and 2,000 enrolments and deletions at once; fails if the service grows or errs.
	.venv/bin/python -m benchmarks.soak

.PHONY: bench-batching
bench-batching: PROVIDER ?= cpu
bench-batching: setup ## Faces of concurrent requests together in a run against each alone (PROVIDER=...).
	.venv/bin/python -m benchmarks.bench_batching --provider $(PROVIDER)

# Where the trainings of the next two are kept, so that the second does not do them again.
OUT ?= var/bench-training

.PHONY: bench-training
bench-training: need-LFW need-PROTOCOL setup-training ## The eight scenarios and the finding of clusters on LFW (LFW=... PROTOCOL=... OUT=...).
	.venv-training/bin/python -m benchmarks.bench_training --lfw $(LFW) --protocol $(PROTOCOL) --out $(OUT)

.PHONY: bench-hard
bench-hard: need-LFW need-PROTOCOL setup-training ## The same scenarios with hard probes (LFW=... PROTOCOL=... OUT=...).
	.venv-training/bin/python -m benchmarks.bench_hard --lfw $(LFW) --protocol $(PROTOCOL) --out $(OUT)

.PHONY: bench-epochs
bench-epochs: need-STORE setup-training ## Seconds an epoch and memory at 50,000 synthetic classes, flat and in subnets (STORE=...).
	.venv-training/bin/python -m benchmarks.bench_epochs --store $(STORE)

.PHONY: bench-retrain
bench-retrain: setup-training ## Subnets trained and figures after 1 % of 10,000 synthetic subjects changed, against a full retraining.
	.venv-training/bin/python -m benchmarks.bench_retrain

.PHONY: bench-scale
bench-scale: N ?= 1000000
bench-scale: OUT := var/bench-scale
bench-scale: setup-training ## Searching a bundle of N synthetic classes: milliseconds, memory, what is missed (N=... OUT=...).
	.venv-training/bin/python -m benchmarks.bench_scale --classes $(N) --out $(OUT)
