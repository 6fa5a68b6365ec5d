"""Bytes to values and back. Pure: no state kept between calls, no clock, no keys, no sockets."""
