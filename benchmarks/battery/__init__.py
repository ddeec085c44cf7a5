"""Faults put to a search on purpose, part by part; `benchmarks/faults.py` runs them and prints what came of it."""
