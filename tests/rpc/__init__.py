"""Tests of `jsp.rpc`: the codec and the sessions without I/O, the rest over loopback."""
