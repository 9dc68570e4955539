# Every target makes what it needs first, from Python 3.11 or newer: see scripts/bootstrap.
.PHONY: help demo run test fuzz bench check docs clean

help:
	@echo "make demo    record three real calls on this machine, verify and export them"
	@echo "make run     start the gateway (ARGS=... are its options)"
	@echo "make test    run the tests (ARGS=... are pytest's; -n 0 runs them one by one)"
	@echo "make fuzz    fuzz what strangers' octets reach first, SECONDS=60 each"
	@echo "make bench   measure what recording costs on this machine (ARGS=... are its options)"
	@echo "make check   run the linter, the formatter's check, the type checker, the purity test"
	@echo "make docs    write the generated pages again"
	@echo "make clean   remove what was built; recordings stay"

demo:
	@scripts/bootstrap
	@.venv/bin/hushtap demo $(ARGS)

run:
	@scripts/bootstrap
	@.venv/bin/hushtap serve $(ARGS)

test:
	@scripts/bootstrap test
	@.venv/bin/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

fuzz:
	@scripts/bootstrap test fuzz
	@.venv/bin/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(ARGS)

bench:
	@scripts/bootstrap
	@.venv/bin/hushtap bench $(ARGS)

check:
	@scripts/bootstrap test check
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/python -m pytest --quiet tests/test_purity.py

docs:
	@scripts/bootstrap
	@.venv/bin/python -m gateway.config.reference

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
