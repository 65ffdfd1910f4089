# sixpoint. `make demo` does the main job once, `make serve` keeps it running, `make test` runs all tests.
# Each sets up what it needs first; the second time that takes a second.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
PIP_CONSTRAINT_FILE ?= constraints.txt
IMAGE ?=
POINTS ?=
# Test files that run at once. Each process starts servers of its own: about 2 GB.
WORKERS ?= 2
# On this machine `make serve` lets viewers in over HTTP, too.
HTTP := $(if $(SIXPOINT_HOST)$(SIXPOINT_HTTP_PORT),,SIXPOINT_HTTP_PORT=8000)
# The image that `make wheels` collects for, and the Python of its base.
WHEELS ?= gateway
WHEEL_PYTHON ?= python3.12

# Triton's Python backend has stubs, and numpy 1.26 has wheels, for these two.
PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 python3,$(if $(shell $(python) -c 'import sys; print(sys.version_info[:2] in ((3, 11), (3, 12)) or "")' 2>/dev/null | grep True),$(python))))

BIN := $(VENV)/bin
SERVER_STAMP := $(VENV)/.sixpoint-server
DEV_STAMP := $(VENV)/.sixpoint-dev
TRITON := $(or $(SIXPOINT_TRITON_ENVIRONMENT),.triton)

.PHONY: help demo circle serve test test-long coverage lint docs protos chart chart-package chart-scan rehearsal viewers pictures wheels containers sbom audit setup setup-dev triton python clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

demo: setup ## Outline one organ from six points, end to end: IMAGE=file POINTS="x,y,z ..." (default: a phantom CT)
	@$(BIN)/gateway demo $(if $(IMAGE),--image "$(IMAGE)") $(if $(POINTS),--points "$(POINTS)")

circle: setup-dev ## Go round the whole circle on phantoms: annotate, save, accept, train, publish, annotate on; write out/circle
	@$(BIN)/python -m benchmarks.circle

serve: setup ## Run Triton and the gateway until Ctrl-C; viewers connect to http://127.0.0.1:8000
	@$(HTTP) exec $(BIN)/gateway serve --local-triton

test: setup-dev ## Run all tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

test-long: setup-dev ## Run the tests that `make test` leaves out since each takes minutes
	@LONG=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m long tests

coverage: setup-dev ## Run all tests, long ones too, with their coverage; fails below 95 % of library and gateway, 90 % of the others
	@rm -f .coverage .coverage.*
	@LONG=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report= tests
	@for each in sixpoint:95 gateway:95 exporter:90 trainer:90; do \
	  $(BIN)/coverage report --include="$${each%:*}/*" --omit="*/v1/*" --fail-under="$${each#*:}" || exit 1; done

lint: setup-dev ## Check style, types, import directions, dependencies and the contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	cd protos && $(CURDIR)/$(BIN)/buf lint

docs: setup-dev ## Build the documentation's site in out/docs; a broken link fails
	$(BIN)/mkdocs build --strict

protos: setup-dev ## Generate sixpoint/v1 from protos/
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/generate.py

chart: setup-dev ## Generate what the Helm chart has from the code: values, schema, settings, alerts; and the tests' outlines
	@$(BIN)/python -m helm.generate
	@$(BIN)/python -m tests.helm.support.outlines

chart-package: setup-dev ## Package the Helm chart in out/chart; signed with KEY="name" KEYRING=secret.gpg
	@$(BIN)/python -m helm.release package out/chart $(if $(KEY),--key "$(KEY)" --keyring "$(KEYRING)")

chart-scan: setup-dev ## Let checkov look at the chart; exceptions and their reasons are in helm/checkov.yaml
	@test -x .venv-checkov/bin/checkov || { $(PYTHON) -m venv .venv-checkov && .venv-checkov/bin/pip install --quiet "checkov>=3.3,<4"; }
	@$(BIN)/python -m helm.release render out/chart-scan
	@.venv-checkov/bin/checkov --config-file helm/checkov.yaml --directory out/chart-scan

rehearsal: setup-dev ## Run the chart's manifests here, and update, kill and scale them while people prompt; at most 10 minutes
	@$(BIN)/python -m tests.helm.rehearsal

wheels: ## Collect the wheels that the gateway's image installs; WHEELS=exporter or trainer for theirs
	@$(WHEEL_PYTHON) containers/wheels.py $(WHEELS)

containers: setup-dev ## Build the gateway's image on a small Debian, run it without rights, and run what compose.yaml says
	CONTAINERS=1 $(BIN)/python -m pytest tests/containers

sbom: setup .venv-supply ## List what the gateway is made of, as CycloneDX: out/sbom.json
	@mkdir -p out && .venv-supply/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible -o out/sbom.json
	@echo "wrote out/sbom.json"

audit: setup .venv-supply ## Look up the installed packages in the database of known vulnerabilities
	@$(BIN)/python .ci/audit.py .venv-supply/bin/pip-audit $(VENV)

.venv-supply: | python
	@$(PYTHON) -m venv $@ && $@/bin/pip install --quiet --disable-pip-version-check "cyclonedx-bom>=7,<8" "pip-audit>=2.9,<3"

viewers: setup-dev ## Download real viewers (3.6 GB in out/viewers, once), annotate through them, and list them: CONTRIBUTING.md
	VIEWERS=1 $(BIN)/python -m pytest --timeout 900 tests/viewers tests/gateway/http/rest/test_examples.py tests/gateway/http/test_same_masks.py

pictures: setup-dev ## Run the tutorials, trainings included, and replace the pictures on their pages; look at them before you commit
	TUTORIAL_PICTURES=docs/tutorial $(BIN)/python -m pytest tests/docs/test_blocks.py -k tutorial

setup: $(SERVER_STAMP) triton ## Set up what demo and serve need

setup-dev: $(DEV_STAMP) triton ## Set up what the tests need too (PyTorch, MONAI, ...)

python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "sixpoint's server needs Python 3.11 or 3.12, and none is on the PATH: Triton's Python backend exists for these two."; \
	  echo "Name one: make demo PYTHON=/path/to/python3.12. (On Python 3.13 the client alone works: pip install .)"; \
	  exit 1; \
	fi

$(SERVER_STAMP): pyproject.toml sixpoint/preprocessing/kernels.c | python
	@echo "setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c $(PIP_CONSTRAINT_FILE) -e ".[gateway,dicomweb]"
	@touch $@

# The constraints hold for tests: they pin what the results depend on.
$(DEV_STAMP): pyproject.toml sixpoint/preprocessing/kernels.c $(PIP_CONSTRAINT_FILE) | python
	@echo "setting up $(VENV) with PyTorch and the tools for the tests (once; some minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c $(PIP_CONSTRAINT_FILE) torch
	@$(BIN)/pip install --quiet --disable-pip-version-check -c $(PIP_CONSTRAINT_FILE) -e ".[gateway,dicomweb,exporter,trainer,dev,docs]"
	@touch $@ $(SERVER_STAMP)

triton: $(SERVER_STAMP)
	@$(BIN)/python -m gateway.triton.local.install $(TRITON)

clean: ## Remove environments and output
	rm -rf $(VENV) .venv-supply $(TRITON) out build *.egg-info
