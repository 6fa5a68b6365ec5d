"""Tests of the `jsp` command."""
