# Every target does its own set-up; `make help` lists them.
SHELL := /bin/bash -o pipefail
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
CLUSTER := $(PYTHON) -m tests.cluster
# These tests mostly wait, each in namespaces of its own; the tests of one file may share something.
SPREAD := -n 4 --dist loadfile
SHELL_SCRIPTS := .ci/run $(wildcard tools/*.sh tests/nic/*.sh)
NODES ?= 2
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-stream test test-all unit kernel e2e long nic-test fuzz bench lint image cluster-up cluster-down clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what a bare Debian 12 machine lacks: packages, the venv (as root; again in a second)
	@tools/setup.sh

demo: setup ## A flood dies on a real cluster while you watch; KEEP=1 leaves the cluster running
	$(PYTHON) -m tests.demo $(if $(KEEP),--keep)

demo-stream: setup ## Colour bars leave an unprivileged pod by a transmit queue; GStreamer on another node writes PNG files
	$(PYTHON) -m tests.demo.stream $(if $(KEEP),--keep)

test: setup ## lint + unit + kernel + e2e
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit
	@$(MAKE) --no-print-directory kernel e2e

test-all: test long ## `make test` and the long ones: fault schedules, soak, large fuzz

unit: setup ## Pure tests, no root
	$(PYTEST) tests/unit -q $(SPREAD)

kernel: setup ## The real verifier and veth pairs in network namespaces (root)
	$(PYTEST) tests/kernel -q -m 'not long' $(SPREAD) --no-loadscope-reorder

e2e: setup ## A real API server, kubelets, Helm and floods (root)
	$(PYTEST) tests/e2e -q -m 'not long' --durations=15

long: setup ## Only the tests marked long
	$(PYTEST) tests/kernel -q -m long
	$(PYTEST) tests/e2e -q -m long --durations=15

nic-test: setup ## Zero copy on the real igb and virtio_net drivers, under QEMU (root; minutes); CARD=igb for one
	$(PYTHON) -m tests.nic $(CARD)

fuzz: setup ## Random packets against random policies, kernel against plain matcher, until stopped
	$(PYTHON) -m tests.fuzz

bench: setup ## Speed beside its peers, in one run; ONLY=id,id chooses rows; writes build/bench.json
	$(PYTHON) -m tests.bench $(if $(ONLY),--only $(ONLY))

lint: setup ## ruff, mypy --strict, import contracts, shellcheck, helm lint, drift of generated files
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	$(PYTHON) -m spillway_crds.schema --check
	/usr/bin/python3 -S -c 'import collections'
	shellcheck $(SHELL_SCRIPTS)
	$(CLUSTER) build --only helm
	$$($(CLUSTER) which helm) lint --strict charts/spillway

image: setup ## Build both images, as archives that `kind load image-archive` takes, into build/images
	$(CLUSTER) build --archives build/images

cluster-up: setup ## Start a real cluster on this machine; NODES=2
	$(CLUSTER) up --nodes $(NODES)

cluster-down: setup ## Stop it and remove every trace
	$(CLUSTER) down

clean: ## Remove the venv and build products (the user's cache stays)
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
