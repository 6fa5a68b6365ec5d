"""What headers cost, in bytes: `python -m benchmarks.headers`, `python -m benchmarks.headers.report`.

Two endpoints in memory, on virtual time and over a lossy link, carry the traffic of `benchmarks/mixes`: files that
say who sends what when. Each packet is opened beside the link, lost or not, and every byte of it has a kind.
"""
