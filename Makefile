# What people type here. Use a virtual environment: python3 -m venv .venv && . .venv/bin/activate
.PHONY: install lint types test test-slow test-slurm quickstart speed docs-check clean

install:
	pip install -c constraints.txt -e '.[dev]'

lint:
	ruff check --fix .
	ruff format .

types:
	pyright

test:
	python -m pytest -n logical

test-slow:
	python -m pytest -n logical -m 'slow and not slurm'

test-slurm:
	python -m pytest -m slurm

quickstart:
	syntharena run +experiment=quickstart

speed:
	python scripts/speed/overhead.py
	python scripts/speed/leaderboard.py

docs-check:
	python -m pytest tests/test_readme.py tests/test_docs.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis results/runs
