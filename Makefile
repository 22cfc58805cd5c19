# Every task of the project. CI calls these targets and nothing else.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
SOURCES := handler-base chat-handler voice-assistant stt-module tts-module pipeline-bridge deploy conftest.py

export PYTHON

.DEFAULT_GOAL := help
.PHONY: help install run test test-faults alerts-check lint format typecheck bench eval images images-check images-reproducible images-record images-push up down compose-config manifests manifests-check pipelines docs question lock proto clean

help: ## Show the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Make .venv and keep it as the lock file says (the other targets do it by themselves)
	@$(PYTHON) deploy/local/bootstrap.py

run: install ## Start the whole fleet on this machine; Ctrl-C stops it
	@$(BIN)/python -m deploy.local

test: install ## Run the tests with coverage
	@$(PYTHON) deploy/local/bootstrap.py --promtool
	@$(BIN)/python -m deploy.tests.run

test-faults: install ## Run the slow failure tests
	@$(BIN)/python -m pytest -m faults --timeout 300

lint: install ## Check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: install ## Fix style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typecheck: install ## Check types, strictly, tests too
	@# One by one: tests of two packages may have the same name.
	@for source in $(SOURCES); do echo "$$source"; $(BIN)/mypy --no-pretty $$source || exit 1; done

alerts-check: install ## Check the alerts with promtool
	@$(PYTHON) deploy/local/bootstrap.py --promtool
	@PATH="$(CURDIR)/$(BIN):$$PATH" promtool check rules deploy/observability/rules/fleet.rules.yaml
	@PATH="$(CURDIR)/$(BIN):$$PATH" promtool test rules deploy/observability/tests/alerts.test.yaml

bench: install ## Measure against the Go and FastStream peers; writes deploy/bench/results
	@$(PYTHON) deploy/local/bootstrap.py --group bench
	@$(BIN)/python -m deploy.bench

eval: install ## Measure retrieval on the sample corpus; writes deploy/local/eval/results.md
	@$(BIN)/python -m deploy.local.eval.run

manifests: install ## Write what is deployed from the declarations in code
	@$(BIN)/python -m deploy.observability
	@$(BIN)/python -m deploy.manifests

manifests-check: install ## Render and check the manifests; CRDS=DIR checks custom resources too
	@$(BIN)/python -m deploy.manifests.checks $(if $(CRDS),--crds "$(CRDS)")

pipelines: install ## Compile the Kubeflow pipelines, and run them against stand-ins
	@$(BIN)/python -m deploy.kubeflow.environment
	@.venv-kfp/bin/python deploy/kubeflow/compile.py
	@$(BIN)/python -m deploy.kubeflow.check

images: install ## Build the five images by docker, podman or buildah; TARGETS="..." names others
	@$(BIN)/python -m deploy.images build $(TARGETS)

images-check: install ## Start the images hardened, against a real nats-server
	@$(BIN)/python -m deploy.images check $(TARGETS)

images-reproducible: install ## Build the images twice from nothing and compare the layers
	@$(BIN)/python -m deploy.images reproducible $(TARGETS)

images-record: install ## Build all images and write down what they weigh
	@$(BIN)/python -m deploy.images record

images-push: install ## Push the images: IMAGE_PREFIX=registry.example.com/ai-services
	@$(BIN)/python -m deploy.images push $(TARGETS)

up: install ## Start the fleet and all it needs in containers; OFFLINE=1 where no registry can be reached
	@$(BIN)/python -m deploy.compose up $(if $(OFFLINE),--offline)

down: install ## Stop the containers; the data stays, unless VOLUMES=1
	@$(BIN)/python -m deploy.compose down $(if $(OFFLINE),--offline) $(if $(VOLUMES),--volumes)

compose-config: install ## Check the compose files
	@$(BIN)/python -m deploy.compose config

docs: install ## Write docs/asyncapi.yaml from the declarations in code
	@$(BIN)/python -m handler_base.asyncapi docs/asyncapi.yaml

question: install ## Record the spoken sample question anew
	@$(BIN)/python -m deploy.local.question

lock: install ## Resolve the dependencies anew into the lock files
	@$(BIN)/python deploy/local/lock.py

proto: install ## Generate the Protocol Buffers stubs
	@$(BIN)/python -m handler_base.messages.proto.generate

clean: ## Remove .venv, the local state and all caches
	@rm -rf .venv .venv-compose .venv-kfp .venv-policy .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
