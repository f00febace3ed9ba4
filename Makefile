# Needs make and Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
PYTEST_FLAGS ?=
# Many tests wait for servers and programs more than they compute.
WORKERS ?= 3

VENV := .venv
BIN := $(VENV)/bin
# What `make test` and `make lint` must find is installed again when pyproject.toml changes.
READY := $(VENV)/.ready

.PHONY: help demo test lint format bench soak crash servers clean

help:
	@echo "make demo     replicate a database, and read its replica in place (half a minute, most of it set-up)"
	@echo "make test     all tests"
	@echo "make lint     ruff and mypy"
	@echo "make format   let ruff format the code"
	@echo "make bench    reading and replicating, beside SQLite, the Litestream extension and its program (some minutes)"
	@echo "make soak     readers of a replica under load, 20 minutes"
	@echo "make crash    a replicator that is ended again and again beside a busy writer, an hour"
	@echo "make servers  install what the tests need beside Python packages: azurite by npm, others by apt-get"
	@echo "make clean    remove .venv and what tools left behind"

$(READY)/venv:
	$(PYTHON) -c "import sys; sys.exit('expected Python 3.11 or newer, got ' + sys.version) if sys.version_info < (3, 11) else None"
	$(PYTHON) -m venv $(VENV)
	@# --group came with pip 25.1
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@mkdir -p $(READY)
	@touch $@

$(READY)/%: pyproject.toml | $(READY)/venv
	@echo "Installing into $(VENV) ..."
	$(BIN)/python -m pip install --quiet --editable . --group $*
	@touch $@

demo: $(READY)/demo
	$(BIN)/python examples/demo.py

test: $(READY)/test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(PYTEST_FLAGS)

lint: $(READY)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)/test
	@# An installed wheel is compiled; an editable one is when it runs, in each process anew where nothing may be written.
	$(BIN)/python -m compileall -q litestream vfs replication
	$(BIN)/python -m benchmarks.bench_warm
	$(BIN)/python -m benchmarks.bench_startup
	$(BIN)/python -m benchmarks.bench_wal
	$(BIN)/python -m benchmarks.bench_restore
	$(BIN)/python -m benchmarks.bench_load --rounds 1 --no-wait
	$(BIN)/python -m benchmarks.bench_latency --rounds 2
	$(BIN)/python -m benchmarks.bench_visible --seconds 10
	$(BIN)/python -m benchmarks.compare --delays-ms 20 --limit-s 20 --rounds 1 --follow-s 10 --threads-s 2 --pages 100000
	$(BIN)/python -m benchmarks.bench_idle --databases 100 --seconds 10 --interval 5 --quiet 10

soak: $(READY)/test
	$(BIN)/python -m tests.support.torture

crash: $(READY)/test
	$(BIN)/python -m tests.support.crash

servers:
	.ci/servers

clean:
	rm -rf $(VENV) .servers build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks benchmarks/.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
