"""Measurements people can repeat: `python -m benchmarks` (or `make bench`, `make bench-peers`)."""
