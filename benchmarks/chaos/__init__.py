"""Chaos: a whole deployment under faults, held against the same load undisturbed; `python -m benchmarks.chaos`."""
