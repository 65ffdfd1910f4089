"""Certificates for tests, by an authority of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme

__all__ = ["Certificates", "write_certificates"]


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority, a server's certificate and key, a client's certificate and key."""

    authority: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path


def write_certificates(
    folder: Path, *names: str, since: datetime | None = None, until: datetime | None = None
) -> Certificates:
    """Write the files of a new authority.

    Args:
        folder: Folder, which is made.
        names: Names and addresses of the server.
        since: Time from which the server's certificate is valid; None for one that is.
        until: Time at which the server's certificate expires; None for one that stays valid.
    """
    folder.mkdir()
    stems = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    files = Certificates(*(folder / name for name in stems))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(files.authority)
    server = authority.issue_cert(*names, not_before=since, not_after=until)
    client = authority.issue_cert("annotator@hospital.example")
    pairs = (server, files.certificate, files.key), (client, files.client_certificate, files.client_key)
    for issued, certificate, key in pairs:
        certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
    return files
