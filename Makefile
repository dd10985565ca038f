.PHONY: install lint types test slow docs docs-serve bench

install:
	python -m pip install -c constraints.txt -e '.[test,docs]'

lint:
	ruff check . && ruff format --check .

types:
	mypy

test:
	python -m pytest

slow:
	python -m pytest -m slow

docs:
	mkdocs build --strict

docs-serve:
	mkdocs serve

bench:
	python benchmarks/camera.py
	python benchmarks/agent.py
