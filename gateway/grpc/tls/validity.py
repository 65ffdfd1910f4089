"""From when until when a certificate is valid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

__all__ = ["Validity", "read_validity", "validity_problem"]

_SOON = timedelta(days=14)


@dataclass(frozen=True)
class Validity:
    """From when until when a certificate, with those of its intermediate authorities, is valid.

    Attributes:
        begin: When the last of them becomes valid.
        end: When the first of them expires.
    """

    begin: datetime
    end: datetime

    @property
    def seconds_left(self) -> float:
        """Seconds until it expires; negative afterwards."""
        return (self.end - datetime.now(UTC)).total_seconds()


def read_validity(content: bytes) -> Validity | None:
    """Return the validity of the certificates of a PEM file; None if they are too odd to be read.

    Args:
        content: Content of the file.
    """
    try:
        chain = x509.load_pem_x509_certificates(content)
        return Validity(
            max(certificate.not_valid_before_utc for certificate in chain),
            min(certificate.not_valid_after_utc for certificate in chain),
        )
    except ValueError:
        return None


def validity_problem(validity: Validity) -> str:
    """Return what an operator must do about a certificate, in one sentence; empty while all is well."""
    now = datetime.now(UTC)
    if validity.end <= now:
        return f"it has expired ({_date(validity.end)}): clients refuse it until it is renewed"
    if validity.begin > now:
        return f"it is valid only from {_date(validity.begin)}: clients refuse it; check this machine's clock"
    if validity.end - now < _SOON:
        return f"it expires soon ({_date(validity.end)}): renew it"
    return ""


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
