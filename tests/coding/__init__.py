"""Tests of `jsp.coding`."""
