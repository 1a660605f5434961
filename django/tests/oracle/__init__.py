"""Many views times many writes: a view whose result changed, and whose tags were not sent, is lost.

Run it by `scripts/test django`, or alone: `.venv/bin/python -m pytest -c django/pyproject.toml
--rootdir django --ds oracle.settings django/tests/oracle -s`.
"""
