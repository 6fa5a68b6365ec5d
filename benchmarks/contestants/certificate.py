"""A self-signed P-256 certificate for contestants that want X.509."""

from __future__ import annotations

import tempfile
from pathlib import Path

from jsp.net.tls import make_certificate


def make() -> tuple[str, str]:
    """Paths of a fresh certificate and its key."""
    private, certificate = make_certificate(days=30)
    folder = Path(tempfile.mkdtemp(prefix="jsp-bench-"))
    (folder / "cert.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(private)
    return str(folder / "cert.pem"), str(folder / "key.pem")
