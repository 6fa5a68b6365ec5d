"""Whole clients and servers on virtual time over virtual links. A run is a seed; a failure prints it."""
