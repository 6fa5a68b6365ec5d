"""Known answers: numbers that others published, and transcripts of our own that must never change."""
