# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Counters of one connection. Plain numbers; what operators ask for, kept where it happens."""

from __future__ import annotations


class Counters:
    """Attributes:
    datagrams_received, bytes_received, datagrams_sent, bytes_sent: UDP payloads.
    packets_received: packets that authenticated and were new.
    packets_sent: packets sealed.
    packets_duplicate: authentic packets that came again.
    packets_dropped: packets that did not authenticate or could not be read.
    acks_sent: ACK frames.
    """

    __slots__ = (
        "acks_sent", "bytes_received", "bytes_sent", "datagrams_received", "datagrams_sent", "packets_dropped",
        "packets_duplicate", "packets_received", "packets_sent",
    )  # fmt: skip

    def __init__(self) -> None:
        self.datagrams_received = 0
        self.bytes_received = 0
        self.datagrams_sent = 0
        self.bytes_sent = 0
        self.packets_received = 0
        self.packets_sent = 0
        self.packets_duplicate = 0
        self.packets_dropped = 0
        self.acks_sent = 0
