"""Compression of what applications send, above the engine: bytes in, bytes out, with bounds on what comes of them."""
