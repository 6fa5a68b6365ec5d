"""TLS 1.3 over kernel TCP in gevent: what people would use instead (see `tcp`)."""

from __future__ import annotations

from gevent import ssl

from benchmarks.contestants import certificate, tcp


def serve() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*certificate.make())
    tcp.serve(ssl_context=context)


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return tcp.run_over(lambda: context.wrap_socket(tcp.open_tcp(address)), test, seconds)
