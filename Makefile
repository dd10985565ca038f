.PHONY: install lint test slow bench

install:
	python -m pip install -c constraints.txt -e '.[test]'

lint:
	ruff check . && ruff format --check .

test:
	python -m pytest

slow:
	python -m pytest -m slow

bench:
	python benchmarks/camera.py
	python benchmarks/agent.py
