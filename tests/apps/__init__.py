"""Tests of the applications, as their users run them."""
