"""Codecs against the bytes of an enemy."""
