# One command for each thing. `make help` lists them; CONTRIBUTING.md says more.
# All of it is plain cmake, ctest and scripts, which can be called without make.
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash

# A unit that includes torch takes some 2 GB to compile: no more jobs than fit.
JOBS ?= $(shell awk -v cores=$$(nproc) '/^MemAvailable/ { m = int($$2 / 2200000); \
          if (m < 1) m = 1; print (m < cores) ? m : cores }' /proc/meminfo)
CCACHE := $(shell command -v ccache 2>/dev/null)
# Without these two, ccache cannot serve units that use the precompiled header.
export CCACHE_SLOPPINESS ?= pch_defines,time_macros
# Wins over what is installed here: make test CMAKE_ARGS=-DLIBTORCH_ROOT=/opt/libtorch
CMAKE_ARGS ?=
BUILD := build/release
SAY := @printf '\n== %s\n'

.PHONY: help
help: ## This list
	@printf 'OVDiff server. Targets:\n'
	@sed -n 's/^\([a-z][a-z0-9-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r name text; do printf '%-22s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: deps configure ## Build, start a server, add classes, segment scenes, write demo-out/
	$(SAY) "Building the server, the client and the demo ($(JOBS) jobs)"
	@cmake --build $(BUILD) -j $(JOBS) --target ovdiffd ovdiff ovdiff-demo
	$(SAY) "Demo"
	@deploy/demo/run.sh

.PHONY: test
test: build ## Build everything and pass all tests
	$(SAY) "Testing (labels unit, parity, full-size, server, e2e, house)"
	@ctest --preset release --no-tests=error

.PHONY: build
build: deps configure ## Build everything into build/release
	$(SAY) "Building into $(BUILD) ($(JOBS) jobs$(if $(CCACHE),$(comma) with ccache))"
	@cmake --build $(BUILD) -j $(JOBS)
comma := ,

.PHONY: deps
deps: packages ## Install packages, lay out LibTorch under .deps/ (once)
	$(SAY) "LibTorch and protos under .deps/"
	@python3 cmake/fetch_deps.py

.PHONY: packages
packages: ## Install the Debian packages that are missing
	$(SAY) "Packages"
	@cmake/install_packages.sh

.PHONY: tools
tools: ## Install formatter and linter
	@cmake/install_packages.sh --tools

# A function of the preset. The launcher is spelt out so that a ccache that comes
# or goes between two runs is noticed.
define configure_preset
	@cmake --preset $(1) -DCMAKE_CXX_COMPILER_LAUNCHER=$(shell command -v ccache 2>/dev/null) \
	  $(CMAKE_ARGS) > build/configure-$(1).log 2>&1 || \
	  { cat build/configure-$(1).log; exit 1; }
	@tail -n 2 build/configure-$(1).log
endef

.PHONY: configure
configure: ## Configure build/release
	$(SAY) "Configuring $(BUILD)"
	@mkdir -p build
	$(call configure_preset,release)

.PHONY: bench
bench: build ## Run all benchmarks; Google Benchmark JSON under build/bench/
	$(SAY) "Benchmarks"
	@mkdir -p build/bench
	@set -e; for binary in $(BUILD)/bin/*_bench; do \
	  name=$$(basename $$binary); echo "-- $$name"; \
	  $$binary --benchmark_out=build/bench/$$name.json --benchmark_out_format=json; done
	@printf '\nResults: build/bench/*.json\n'

# Debian's Python, which has numpy and the rest; others may not.
PYTHON ?= /usr/bin/python3
# make accuracy DATASET=scenes ROOT=… PROFILE=default SPLIT=… SEEDS=… SIZE=… BUNDLE=… LIMIT=… VARIANTS=…
DATASET ?= scenes
# Of the settings below, those that are given.
accuracy_flags = $(foreach name,root split profile seeds size bundle limit variants device threads colours,\
  $(if $($(shell echo $(name) | tr a-z A-Z)),--$(name)='$($(shell echo $(name) | tr a-z A-Z))')) \
  $(if $(SYNONYMS),--synonyms) $(ACCURACY_ARGS)
run_accuracy = $(PYTHON) benchmarks/accuracy/run.py

define build_accuracy
	$(SAY) "Building the harness ($(JOBS) jobs)"
	@cmake --build $(BUILD) -j $(JOBS) --target ovdiff-accuracy
endef

.PHONY: accuracy
accuracy: deps configure ## mIoU on a data set: DATASET=scenes ROOT=… PROFILE=…; see benchmarks/accuracy
	$(build_accuracy)
	$(SAY) "Measuring on $(DATASET)"
	@$(run_accuracy) --dataset=$(DATASET) $(accuracy_flags)

.PHONY: ablations
ablations: deps configure ## All ablations, and rivals if TORCH_PYTHON= is given, on the test scenes
	$(build_accuracy)
	$(SAY) "Ablations: products and background"
	@$(run_accuracy) --dataset=scenes --variants=ablations $(if $(TORCH_PYTHON),--torch-python=$(TORCH_PYTHON)) \
	  $(accuracy_flags)
	$(SAY) "Ablations: backgrounds as classes, the stuff filter"
	@$(run_accuracy) --dataset=scenes-stuff --variants=parts $(accuracy_flags)
	$(SAY) "Colours as classes"
	@$(run_accuracy) --dataset=scenes-colours $(accuracy_flags)

.PHONY: torture
torture: deps configure ## Kill, cut off, corrupt and fill the store against an oracle (20 minutes at most)
	$(SAY) "Building the torture"
	@cmake --build $(BUILD) -j $(JOBS) --target store_torture
	$(SAY) "Torture; TORTURE='--seed 7 --only kills' narrows it"
	@$(BUILD)/bin/store_torture --report build/torture/report.json \
	  --work build/torture/work $(TORTURE)

.PHONY: cuda
cuda: packages ## Build and link with CUDA into build/cuda (2.5 GB of downloads; needs no GPU)
	$(SAY) "LibTorch with CUDA under .deps/"
	@python3 cmake/fetch_deps.py --cuda
	$(SAY) "Building into build/cuda ($(JOBS) jobs)"
	@mkdir -p build
	$(call configure_preset,cuda)
	@cmake --build --preset cuda -j $(JOBS) --target ovdiffd ovdiff cuda_probe
	$(SAY) "Does the CUDA build load here?"
	@build/cuda/bin/cuda_probe
	@printf '\nNext: on a machine with an NVIDIA driver, build/cuda/bin/ovdiffd --device cuda …\n'

# Tools of others, for checks that `make test` does not need. With Go at hand.
GRPCURL := github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
GHZ := github.com/bojand/ghz/cmd/ghz@v0.93.0
KUBECONFORM := github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
KUBERNETES := k8s.io/kubernetes@v1.31.0
define need_go
	@command -v go >/dev/null || { echo "error: this target needs Go 1.21 or newer" >&2; exit 1; }
	@mkdir -p build/tools
endef

.PHONY: test-foreign
test-foreign: build ## grpcurl and ghz against the real server (installs them with Go)
	$(call need_go)
	$(SAY) "grpcurl and ghz into build/tools"
	@GOBIN=$(CURDIR)/build/tools go install $(GRPCURL)
	@GOBIN=$(CURDIR)/build/tools go install $(GHZ)
	$(SAY) "Testing with them"
	@OVDIFF_TOOLS=$(CURDIR)/build/tools OVDIFF_BIN=$(CURDIR)/$(BUILD)/bin \
	  PYTHONPATH=$(BUILD)/tests/e2e/gen /usr/bin/python3 tests/e2e/foreign.py -v

.PHONY: check-k8s
check-k8s: ## Validate deploy/k8s strictly with kubeconform (installs it with Go)
	$(call need_go)
	@GOBIN=$(CURDIR)/build/tools go install $(KUBECONFORM)
	@python3 deploy/k8s/schemas.py "$$(go mod download -json $(KUBERNETES) | \
	  sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/api/openapi-spec/swagger.json" build/tools/schemas
	@build/tools/kubeconform -strict -summary -schema-location \
	  'build/tools/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json' deploy/k8s/*.yaml

BUF := @bufbuild/buf@1.75.0

.PHONY: check-proto
check-proto: deps ## buf lint over proto/ (installs buf with npm)
	@command -v npm >/dev/null || { echo "error: this target needs npm" >&2; exit 1; }
	@npm install --silent --no-audit --no-fund --prefix build/tools/npm $(BUF)
	@rm -rf build/tools/buf && mkdir -p build/tools/buf/googleapis
	@cp -r proto build/tools/buf/ && cp -r .deps/googleapis/google build/tools/buf/googleapis/
	@printf 'version: v1\n' > build/tools/buf/googleapis/buf.yaml
	@printf 'version: v1\ndirectories: [proto, googleapis]\n' > build/tools/buf/buf.work.yaml
	@cd build/tools/buf && ../npm/node_modules/.bin/buf lint --path proto/ovdiff .
	@echo "buf lint: clean"

.PHONY: asan
asan: deps ## Build and test with the address and undefined-behaviour sanitizers
	@mkdir -p build
	$(call configure_preset,asan)
	@cmake --build --preset asan -j $(JOBS)
	@ctest --preset asan --no-tests=error -L 'unit|server'

.PHONY: tsan
tsan: deps ## Build and test the targets without torch with the thread sanitizer
	@mkdir -p build
	$(call configure_preset,tsan)
	@cmake --build --preset tsan -j $(JOBS)
	@ctest --preset tsan --no-tests=error

SOURCES = $(shell git ls-files '*.cc' '*.h')

.PHONY: format
format: ## Format all sources in place
	@clang-format-16 -i $(SOURCES)

.PHONY: check-format
check-format: ## Fail where a source is not formatted
	@clang-format-16 --dry-run --Werror $(SOURCES)

.PHONY: tidy
tidy: deps tools ## clang-tidy over all sources; TIDY='engine/ops/.*' narrows it
	@# A tree of its own: clang cannot read gcc's precompiled header.
	@mkdir -p build
	@cmake --preset release -B build/tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON \
	  $(CMAKE_ARGS) > build/configure-tidy.log 2>&1 || { cat build/configure-tidy.log; exit 1; }
	@cmake --build build/tidy -j $(JOBS) --target ovdiff_proto
	@run-clang-tidy-16 -quiet -j $(JOBS) -p build/tidy \
	  '$(CURDIR)/$(or $(TIDY),(engine|store|server|client|tests|benchmarks)/.*)\.cc$$'

.PHONY: clean
clean: ## Remove build/ and demo-out/; keeps .deps/
	@rm -rf build demo-out
