"""Benchmarks: what testbus costs beside what it replaces. Each prints a table, and with --json one object last."""
