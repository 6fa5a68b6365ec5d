"""What the messages of the handshake and the transport parameters carry; how it is written is in `hello` and `params`.

Plain values, in a module that is not compiled: dataclasses have no C attributes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ClientHello:
    random: bytes
    versions: tuple[int, ...]
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    signatures: tuple[int, ...]
    protocols: tuple[str, ...]
    params: bytes
    time_ms: int
    "The client's clock; used for the age of tickets only."
    share_group: int
    share: bytes
    server_name: str = ""


@dataclass(slots=True)
class ServerHello:
    random: bytes
    version: int
    suite: int
    group: int
    share: bytes


@dataclass(slots=True)
class EncryptedParams:
    versions: tuple[int, ...]
    "Everything the server speaks, so that a forged version negotiation is found out."
    protocol: str
    params: bytes
    time_ms: int


@dataclass(slots=True)
class TransportParams:
    """One side's parameters. Sizes in bytes, times in milliseconds."""

    max_data: int = 0
    "Credit for stream and message bytes on the whole connection."
    max_stream_data: int = 0
    "Credit for each stream, whoever opens it."
    max_streams_bidi: int = 0
    max_streams_uni: int = 0
    idle_timeout_ms: int = 0
    "0: never."
    max_datagram_size: int = 1200
    "The largest datagram this side takes."
    cid_limit: int = 2
    "How many of the peer's connection ids a side keeps for a path."
    max_ack_delay_ms: int = 25
    max_message: int = 0
    "The largest message this side takes."
    initial_scid: bytes = b""
    "The connection id this side chose for itself in its first packet; must match."
    original_dcid: bytes = b""
    "Server only: the client's first destination connection id; must match."
    reset_token: bytes = b""
    "Server only: stateless reset token of `initial_scid`."
    compression: bytes = b""
    "What this side decompresses (spec section 8.7); empty: nothing."
    min_ack_delay_us: int = 0
    "The shortest delay of ACKs that may be asked for, microseconds; 0: this side does not take ACK_FREQUENCY."
    max_paths: int = 1
    "How many paths this side keeps at a time."
    preferred_address: bytes = b""
    "Server only: where it would rather be reached: an IPv4 or IPv6 address and a port, in network order."
    repair_window: int = 0
    "How many messages a repair may be made of (spec section 8.8); 0: it takes none."
