"""Tests of `jsp.transfer`, file by file, and of whole sessions."""
