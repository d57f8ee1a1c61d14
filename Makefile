# Needs Python 3.11 or later, Node 18 or later and make; each target builds the environment it needs.
PYTHON ?= python3
BIN := .venv/bin
# whatever a shell says: the suite starts many processes, and each would compile all it imports
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo sandbox test lint format corpus reference pictures bench load latency backfill-bench chaos fuzz thorough lock clean

demo: .venv/ready sandbox/node_modules/ready  ## mail arrives and stands in Dataverse, on embedded stand-ins
	$(BIN)/python -m sandbox demo

sandbox: .venv/ready sandbox/node_modules/ready  ## the same world, kept running to play with, and its status page
	$(BIN)/python -m sandbox serve

test: lint sandbox/node_modules/ready  ## everything that must hold
	$(BIN)/python -m pytest -n 3 --dist loadfile

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

corpus: .venv/ready  ## what the mails of tests/corpus come to, written anew for somebody to read the difference
	$(BIN)/python -m tests.corpus

pictures: .venv/ready sandbox/node_modules/ready  ## the README's picture of the status page, and one of each state
	$(BIN)/python -m tests.browser.pictures

reference: .venv/ready  ## the parts of docs/ that are made from the code
	$(BIN)/python -m tests.house.reference

bench: .venv/ready sandbox/node_modules/ready  ## the measured claims of the README
	$(BIN)/python -m bench

load: .venv/ready sandbox/node_modules/ready  ## what one instance takes in, and what happens beyond
	$(BIN)/python -m bench.load

latency: .venv/ready sandbox/node_modules/ready  ## how long it takes from a notification to the completed email
	$(BIN)/python -m bench.latency

backfill-bench: .venv/ready sandbox/node_modules/ready  ## how long live mail waits while 20,000 old mails are imported
	$(BIN)/python -m bench.backfill

chaos: .venv/ready sandbox/node_modules/ready  ## nothing lost, nothing doubled: the proof, seeded
	$(BIN)/python -m sandbox.chaos

fuzz: .venv/ready  ## every parser and the mapping against ten thousand inputs each
	FUZZ_EXAMPLES=10000 LAW_EXAMPLES=10000 $(BIN)/python -m pytest tests/fuzz tests/mapping/test_laws.py tests/mailsync/storage/test_journal_states.py -n 2 --timeout=0

thorough: .venv/ready sandbox/node_modules/ready  ## a worker dies at each single call, and the whole corpus lands
	THOROUGH=1 $(BIN)/python -m pytest tests/journeys/test_kill_points.py tests/journeys/test_backfill.py tests/journeys/test_erase.py tests/corpus -n 2 --dist loadfile --timeout=0

lock: .venv/ready  ## pin the packages anew from pyproject.toml
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --no-header --no-annotate pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --no-header --no-annotate --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt

.venv/ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements-dev.txt
	touch $@

sandbox/node_modules/ready: sandbox/package-lock.json
	cd sandbox && npm ci --silent --no-audit --no-fund
	touch $@

clean:
	rm -rf .venv sandbox/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
