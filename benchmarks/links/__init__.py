"""Goodput and delay over emulated links, jsp beside kernel TCP and aioquic: `make bench-links`.

A contestant is a module here that offers

    receive(port, until)                      takes flows until the time `until`; returns label -> arrivals (see `flow`)
    send(port, label, congestion, until)      connects to host b, sends as fast as it can; returns its own counts:
                                              "sent" and "retransmitted", in packets

Both run in processes of their own, in the network namespaces at either end of a link of tests/netlab. Times are those
of `time.monotonic`, which all processes of a machine share.
"""
