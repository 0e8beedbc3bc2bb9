# Every task of Gongji. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MEMBERS := protos services/kit services/identity services/binding services/settlement services/notify deploy/local deploy/monitoring
CASES ?= tests/integration/cases/settling.yaml tests/integration/cases/windows_and_orders.yaml tests/integration/cases/held_previews.yaml tests/integration/cases/settling_again.yaml tests/integration/cases/premiums.yaml tests/integration/cases/bills.yaml
LOCAL := $(BIN)/gongji-local
LOCKED := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
# Bytecode is kept also where the surroundings say not to: each of some hundred processes would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=
# The suite runs in parts, the longest first, two at a time: while one waits for its servers, the other has the core.
# What a part prints is shown when it ends; the first that fails ends the run.
PARTS := scenarios notices secured settlement identity kit binding local
part-scenarios: FOLDERS := tests
part-scenarios: BUT := tests/integration/notices tests/integration/secured tests/surroundings
part-notices: FOLDERS := tests/integration/notices
part-secured: FOLDERS := tests/integration/secured
part-settlement: FOLDERS := services/settlement
part-identity: FOLDERS := services/identity
part-kit: FOLDERS := services/kit
part-binding: FOLDERS := services/binding services/notify
part-local: FOLDERS := deploy protos/tests tests/surroundings
TWO_AT_A_TIME := $(MAKE) --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.PHONY: help setup demo up down status logs test unit itest cases $(addprefix part-,$(PARTS)) examples faults drill histories bench bench-audit bench-import bench-contributions bench-authorize bench-notify bench-sizes k8s-check k8s-rollout k8s-topics lint format types protos protos-check topics-docs config-docs monitoring rules-check contracts-version lock image-locks images image-check clean

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-19s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv; does nothing when all is there

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit("Gongji needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Name one: make setup PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "setup: installing the pinned requirements into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements.lock)"
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(MEMBERS))
	@touch $@

demo: setup ## play the main job on the embedded stack, from registration to the payer's notice
	@$(LOCAL) demo

up: setup ## start PostgreSQL, Kafka and the four services; print their addresses
	@$(LOCAL) up

down: setup ## end what `make up` started
	@$(LOCAL) down

status: setup ## tell the truth about each process
	@$(LOCAL) status

SERVICE ?= settlement
logs: setup ## follow a log: make logs SERVICE=binding
	@$(LOCAL) logs $(SERVICE) --follow

test: setup ## all tests
	@$(TWO_AT_A_TIME) $(addprefix part-,$(PARTS)) cases

unit: setup ## tests that need no server
	@$(TWO_AT_A_TIME) $(addprefix part-,$(PARTS)) MARKED="not stack"

itest: setup ## tests on real PostgreSQL and real Kafka
	@$(TWO_AT_A_TIME) $(addprefix part-,$(PARTS)) MARKED=stack

$(addprefix part-,$(PARTS)): setup
	@echo "— $(FOLDERS)"
	@$(BIN)/pytest -q $(if $(MARKED),-m "$(MARKED)") $(addprefix --ignore=,$(BUT)) $(FOLDERS)

cases: setup ## acceptance cases on running services: make cases CASES=path/to/other.yaml
	@$(BIN)/python -m gongji_local.cases $(CASES)

examples: setup ## build and run the consumers' examples on a real broker; needs a JDK and Maven
	@for tool in javac mvn; do command -v "$$tool" >/dev/null || { echo "make examples needs a JDK of version 17 or later and Maven; there is no $$tool" >&2; exit 1; }; done
	@env -u KAFKA_BOOTSTRAP $(BIN)/pytest -q tests/consumers/check_examples.py

ROWS ?= 500000
faults: setup ## break things while hospitals settle, and look whether anything is lost: make faults ROUNDS=50 SEED=1
	@ROUNDS=$(ROUNDS) SEED=$(SEED) PYTHONPATH=tests $(BIN)/python -m faults.rounds

drill: setup ## lose everything and get it back from a backup, each database to a point of its own; some three minutes
	@PYTHONPATH=tests $(BIN)/python -m drill.run

histories: setup ## play random histories on the real services at once, and replay them on the plain model: make histories ROUNDS=20 SEED=1 WISHES=600
	@ROUNDS=$(ROUNDS) SEED=$(SEED) WISHES=$(WISHES) PYTHONPATH=tests $(BIN)/python -m model.histories

bench: setup ## how fast settlement settles, against an echo over gRPC and the bare statements: make bench SECONDS_EACH=4 GROW=1
	@SECONDS_EACH=$(or $(SECONDS_EACH),8) GROW=$(GROW) GROW_ACCOUNTS=$(GROW_ACCOUNTS) PYTHONPATH=tests $(BIN)/python -m bench.settle

bench-audit: setup ## how long sealing and auditing long books takes, in how much memory: make bench-audit ENTRIES=1000000
	@ENTRIES=$(ENTRIES) PYTHONPATH=tests $(BIN)/python -m bench.audit_books

bench-import: setup ## how fast a register is imported, against COPY alone: make bench-import ROWS=50000
	@ROWS=$(ROWS) PYTHONPATH=tests $(BIN)/python -m bench.import_insured

bench-contributions: setup ## how fast contributions are credited from a file, or by RPC, too: make bench-contributions ROWS=50000 RPC=1
	@ROWS=$(ROWS) RPC=$(RPC) PYTHONPATH=tests $(BIN)/python -m bench.import_contributions

bench-authorize: setup ## how fast binding authorizes over gRPC, against one SQL function: make bench-authorize SECONDS_EACH=4
	@SECONDS_EACH=$(or $(SECONDS_EACH),8) PYTHONPATH=tests $(BIN)/python -m bench.authorize

bench-notify: setup ## how soon people hear of a debit, in the inbox and by SMS: make bench-notify SECONDS_EACH=4 SHARE=0.3
	@SECONDS_EACH=$(or $(SECONDS_EACH),8) EVENTS=$(or $(EVENTS),10000) SHARE=$(or $(SHARE),1) PYTHONPATH=tests $(BIN)/python -m bench.notify

bench-sizes: setup ## bytes that a settlement leaves in each table and topic, memory and connections (1 minute): make bench-sizes SETTLEMENTS=20000
	@SETTLEMENTS=$(SETTLEMENTS) PYTHONPATH=tests $(BIN)/python -m bench.sizes

K8S := PYTHONPATH=deploy/k8s/check $(BIN)/python -m k8s_check
k8s-check: setup ## apply each overlay to a real Kubernetes API server; needs Go and Maven; 2 minutes, the first time 12: make k8s-check ONLY=deploy/k8s/overlays/prod
	@$(K8S) overlays $(ONLY)
	@$(BIN)/pytest -q deploy/k8s/tests/check_built.py

k8s-topics: setup ## write Strimzi's topics and users from protos/topics
	@$(K8S) topics

k8s-rollout: setup ## roll out, upgrade, break, undo and drain on a real control plane with pretended nodes; 3 minutes, the first time 6 more
	@$(K8S) rollout

lint: setup types ## ruff, mypy, buf, and what pre-commit would say
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code >/dev/null

format: setup ## let ruff and buf format everything
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .
	@cd protos && ../$(BIN)/buf format -w

.PHONY: rolling upgrade-check
rolling: setup ## replace two replicas of each service one by one under load, also on a newer schema (7 minutes): make rolling SEED=1
	@SEED=$(SEED) PYTHONPATH=tests $(BIN)/python -m rolling.replace

upgrade-check: setup ## the same from an earlier commit's code and schema to this checkout's (5 minutes): make upgrade-check FROM=commit
	@SEED=$(SEED) FROM=$(FROM) PYTHONPATH=tests $(BIN)/python -m rolling.replace upgrade

types: setup ## mypy, strict
	@$(BIN)/mypy services deploy tests protos/tests conftest.py
	@for each in examples/consumers/python-*; do (cd "$$each" && MYPYPATH=../../../protos/gen ../../../$(BIN)/mypy \
	  --config-file ../../../pyproject.toml --cache-dir ../../../.mypy_cache/examples --ignore-missing-imports --allow-subclassing-any .); done

protos: setup ## generate protos/gen from the contracts
	@protos/generate.sh

protos-check: setup ## lint the contracts, refuse breaking changes and drift of the generated code
	@protos/check.sh

topics-docs: setup ## write protos/docs from protos/topics and the contracts: AsyncAPI, and a page in each language
	@$(BIN)/python -m gongji_local.topic_docs protos/docs

rules-check: ## check the rules for Prometheus with promtool: each alert fires when it has to, and only then; needs Go
	@deploy/monitoring/check-rules.sh

monitoring: setup ## write docs/metrics.md, the rules for Prometheus and the dashboards of Grafana from the catalogue
	@$(BIN)/python -m gongji_monitoring

config-docs: setup ## write docs/configuration.md from the classes that read the settings
	@$(BIN)/python -m gongji_local.config_docs docs/configuration.md

contracts-version: setup ## keep the events' contracts for all versions to come, at a release: make contracts-version NAME=0.2.0
	@$(BIN)/python -m gongji_local.contract_versions $(NAME)

lock: setup ## resolve requirements.in to requirements.lock, with hashes and without an index, and of that what each image needs
	@$(BIN)/uv pip compile $(LOCKED) --upgrade -o requirements.lock requirements.in
	@for each in examples/consumers/python-*; do \
	  $(BIN)/uv pip compile $(LOCKED) -c requirements.lock -o "$$each/requirements.txt" "$$each/requirements.in"; done
	@$(MAKE) --no-print-directory image-locks

IMAGE_LOCKS := deploy/images/requirements
image-locks: setup ## of requirements.lock what each image needs, as the services' pyproject.toml name it
	@for each in kit identity binding settlement notify; do $(BIN)/uv pip compile $(LOCKED) -c requirements.lock \
	  --no-emit-package gongji-kit --no-emit-package gongji-protos -o $(IMAGE_LOCKS)/$$each.txt services/$$each/pyproject.toml; done
	@for each in tools lint; do $(BIN)/uv pip compile $(LOCKED) -c requirements.lock -o $(IMAGE_LOCKS)/$$each.txt $(IMAGE_LOCKS)/$$each.in; done

images: setup ## build the images with docker or buildah: make images BASE=python:3.13-slim@sha256:… RELEASE=1 REGISTRY=registry.example/
	@PYTHONPATH=deploy/images $(BIN)/python -m gongji_images.build --base "$(BASE)" --registry "$(REGISTRY)" $(if $(RELEASE),--release)

image-check: setup ## what the images would contain, without docker: lint, four read-only trees, the services run out of them; 1 to 3 minutes
	@PYTHONPATH=deploy/images $(BIN)/python -m gongji_images.check

clean: ## end the stack and remove everything that was made here
	@if test -x $(LOCAL); then $(LOCAL) down --wipe; fi
	@rm -rf $(VENV) .local out examples/consumers/java/target .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
