"""Checks of certificates, and of files with secrets."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from gateway.grpc.tls.certificate import ServerCertificate
from gateway.grpc.tls.validity import Validity, read_validity, validity_problem
from gateway.settings import Settings
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import InvalidArgument

__all__ = ["check_files"]


def check_files(settings: Settings) -> Iterator[Finding]:
    """Check the files that the settings name."""
    if settings.tls_cert_file and settings.tls_key_file:
        yield _check_certificate(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
    if settings.triton_client_cert_file or settings.triton_ca_file:
        yield _check_triton_files(settings)
    for variable, path in settings.secret_files():
        yield _check_secret(variable, path)


def _check_certificate(certificate: Path, key: Path, client_authority: Path | None) -> Finding:
    try:
        loaded = ServerCertificate(certificate, key, client_authority=client_authority)
    except InvalidArgument as error:
        return Finding("certificate", False, error.message, "The gateway does not start with these files.")
    return _judge("certificate", certificate, loaded.validity, "its key belongs to it")


def _check_triton_files(settings: Settings) -> Finding:
    what, certificate = "certificate for Triton", settings.triton_client_cert_file
    try:
        settings.triton_tls.context()
    except InvalidArgument as error:
        return Finding(what, False, error.message, "The gateway does not start with these files.")
    if certificate is None:
        return Finding(what, True, "the authorities of SIXPOINT_TRITON_CA_FILE can be read")
    return _judge(what, certificate, read_validity(certificate.read_bytes()), "its key belongs to it")


def _judge(what: str, certificate: Path, validity: Validity | None, seen: str) -> Finding:
    if validity is None:
        return Finding(what, True, f"{seen}; its dates cannot be read")
    names = ", ".join(_names(certificate)) or "no name"
    seen = f"for {names}, from {validity.begin:%Y-%m-%d} until {validity.end:%Y-%m-%d}; {seen}"
    problem = validity_problem(validity)
    return Finding(
        what, not problem or "soon" in problem, f"{seen}; {problem}" if problem else seen, problem and "Renew it."
    )


def _names(path: Path) -> list[str]:
    leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(name.value) for name in names]


def _check_secret(variable: str, path: Path) -> Finding:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        path.open("rb").close()
    except OSError as error:
        return Finding(variable, False, f"the file cannot be read ({error.strerror})", "Correct its path or its mode.")
    exposed = mode & stat.S_IROTH
    advice = "Every user of this machine may read it, unless its folder forbids it; chmod 600 makes it private."
    return Finding(variable, True, f"can be read; mode {mode:04o}", advice if exposed else "")
