"""TLS 1.3 around a carrier's bytes, for firewalls that let only that pass (spec section 2.1).

It proves nothing and keeps nothing secret that would not be: the handshake inside does. So the server's certificate is
made when it starts, and no client looks at it.
"""

from __future__ import annotations

import datetime
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

# What the most common programs that speak TLS to such ports ask for.
_PROTOCOLS = ["http/1.1"]
_READ = 1 << 16
_VALID_DAYS = 365


def client_context() -> ssl.SSLContext:
    """How clients speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _of_today(context)


def make_certificate(days: int = _VALID_DAYS) -> tuple[bytes, bytes]:
    """A fresh key and a certificate that it signs itself, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, certificate.public_bytes(Encoding.PEM)


def server_context() -> ssl.SSLContext:
    """How a server does, with a key of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        # The only way that the ssl module takes them; readable by us alone, and gone at once.
        path = Path(folder, "pem")
        path.write_bytes(b"".join(make_certificate()))
        context.load_cert_chain(path)
    # Nobody resumes.
    context.num_tickets = 0
    return _of_today(context)


def _of_today(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(_PROTOCOLS)
    return context


class Tls:
    """One connection's TLS, bytes in and bytes out.

    Attributes:
        up: whether its handshake is over.
    """

    __slots__ = ("_early", "_in", "_object", "_out", "up")

    def __init__(self, context: ssl.SSLContext, name: str | None = None) -> None:
        """The side that `context` is for. `name`: whom a client says it wants."""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.protocol == ssl.PROTOCOL_TLS_SERVER
        self._object = context.wrap_bio(self._in, self._out, server_side=server, server_hostname=name)
        self._early: list[bytes] = []
        self.up = False

    def begin(self) -> bytes:
        """What to send before anything came."""
        self._shake_hands()
        return self._out.read()

    def seal(self, data: bytes) -> bytes:
        """What to send for `data`; it is kept until the handshake is over."""
        if not self.up:
            self._early.append(data)
            return b""
        self._object.write(data)
        return self._out.read()

    def open(self, data: bytes) -> tuple[bytes, bytes]:
        """`data` came: what is in it, and what to send. OSError (ssl.SSLError) when it is not TLS, or the end of it."""
        self._in.write(data)
        if not self.up:
            self._shake_hands()
        plain = []
        while self.up:
            try:
                piece = self._object.read(_READ)
            except ssl.SSLWantReadError:
                break
            if not piece:
                raise ssl.SSLEOFError("the peer has ended TLS")
            plain.append(piece)
        return b"".join(plain), self._out.read()

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.up = True
        for data in self._early:
            self._object.write(data)
        self._early.clear()
