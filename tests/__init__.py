"""Tests. Each folder mirrors one of `jsp/`; `sim` holds the simulated network."""
