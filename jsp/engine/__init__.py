"""The protocol as state machines over bytes: (now, datagrams) in; datagrams, one deadline, events out.

No socket, no clock, no randomness of its own: time and entropy are arguments. Five verbs, the same everywhere:
`handle_datagram`, `handle_timeout`, `poll_transmit`, `poll_timeout`, `poll_event`.
"""
