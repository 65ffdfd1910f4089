"""Objects in S3, Google Cloud Storage and Azure, through obstore.

obstore comes with the gateway and the exporter, not with the client: nothing that ``import sixpoint`` loads may import
this module.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from sixpoint.errors import InvalidArgument, NotFound
from sixpoint.io.secret_files import SUFFIX, named_files, secret_from_environment

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

__all__ = ["CA_VARIABLE", "Objects", "credential_files", "s3_endpoint"]

CA_VARIABLE = "AWS_CA_BUNDLE"
"""Variable that names a PEM file with authorities to trust besides the system's, as for AWS's own tools."""

_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
# Size of a part of an upload or a download. An upload has at most 10,000 parts: 80 GB.
_PART_BYTES = 8 * 2**20
# Options that obstore reads from the environment: AWS_ALLOW_HTTP and so on.
_CLIENT_OPTIONS = ("allow_http", "connect_timeout", "proxy_url", "proxy_excludes", "proxy_ca_certificate", "timeout")
# Secrets of obstore, by the beginning of the URL's scheme: the variable, and obstore's name. What obstore itself reads
# from files is not here: AWS_WEB_IDENTITY_TOKEN_FILE, GOOGLE_APPLICATION_CREDENTIALS, AZURE_FEDERATED_TOKEN_FILE.
_SECRETS = {
    "s3": {
        "AWS_ACCESS_KEY_ID": "access_key_id",
        "AWS_SECRET_ACCESS_KEY": "secret_access_key",
        "AWS_SESSION_TOKEN": "session_token",
        "AWS_SSE_CUSTOMER_KEY_BASE64": "sse_customer_key_base64",
    },
    "gs": {"GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key", "GOOGLE_BEARER_TOKEN": "bearer_token"},
    "a": {
        "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
        "AZURE_STORAGE_CLIENT_SECRET": "client_secret",
        "AZURE_STORAGE_SAS_TOKEN": "sas_key",
    },
}


class Objects:
    """Objects by key, under the prefix of a URL. All methods block.

    Args:
        url: ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``; credentials are the
            environment variables of obstore (``AWS_...``, ``GOOGLE_...``, ``AZURE_...``). Those that are secret may
            be in files, which ``AWS_SECRET_ACCESS_KEY_FILE`` and the like name.
        unavailable: Makes the error to raise when the store cannot be used, from the name of obstore's error. Its
            message is left out, as it holds keys and addresses.

    Attributes:
        store: The store, for what else obstore offers.

    Raises:
        ValueError: obstore does not understand the URL. The message does not repeat it, as it may hold a secret.
        InvalidArgument: A file with a secret, or with authorities, cannot be used.
    """

    def __init__(self, url: str, *, unavailable: Callable[[str], Exception]) -> None:
        self._unavailable = unavailable
        scheme = urlsplit(url).scheme
        # Typed for each kind of store; what is empty is the same for all.
        options: dict[str, Any] = {
            "config": {name: secret for variable, name in _secrets(scheme).items() if (secret := _from_file(variable))},
            "client_options": _client_options(scheme),
        }
        try:
            self.store: ObjectStore = from_url(url, retry_config=_RETRIES, **options)
        except (BaseError, ValueError) as error:
            if missing := re.search(r"Missing (SecretAccessKey|AccessKeyId)", str(error)):
                given = {"SecretAccessKey": "AWS_ACCESS_KEY_ID", "AccessKeyId": "AWS_SECRET_ACCESS_KEY"}[missing[1]]
                raise InvalidArgument(f"{given} is set without the other half of the key") from None
            raise ValueError("not the URL of an object store") from None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate the errors of obstore.

        Raises:
            NotFound: There is no such object, or no such bucket.
            Exception: The error made by ``unavailable``.
        """
        try:
            yield
        except (NotFoundError, FileNotFoundError):
            # Which of the two obstore raises depends on the call.
            raise NotFound("the object store has no such object, or no such bucket") from None
        except BaseError as error:
            raise self._unavailable(type(error).__name__) from None

    def size(self, key: str) -> int:
        """Size of an object in bytes."""
        with self.errors():
            return obstore.head(self.store, key)["size"]

    def read(self, key: str) -> bytes:
        """The content of a small object."""
        with self.errors():
            return bytes(obstore.get(self.store, key).bytes())

    def download(self, key: str, file: BinaryIO, *, size: int) -> None:
        """Write the first ``size`` bytes of an object to a file."""
        # Each part is a request of its own: obstore's deadline of 30 s is for a whole request.
        for start in range(0, size, _PART_BYTES):
            with self.errors():
                part = obstore.get_range(self.store, key, start=start, end=min(start + _PART_BYTES, size))
            file.write(part)

    def put(self, key: str, content: bytes | Path, *, concurrency: int = 12) -> None:
        """Store an object, in place of the one of this key: whole or not at all.

        Args:
            key: Key of the object.
            content: Content of the object, or the file that holds it.
            concurrency: Number of parts in memory, and under way, at once.
        """
        with self.errors():
            obstore.put(self.store, key, content, chunk_size=_PART_BYTES, max_concurrency=concurrency)

    def delete(self, key: str) -> None:
        """Delete an object; whether a missing one is a NotFound depends on the store."""
        with self.errors():
            obstore.delete(self.store, key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys of all objects under a prefix."""
        with self.errors():
            for page in obstore.list(self.store, prefix=prefix or None):
                for entry in page:
                    yield entry["path"]


def credential_files(url: str) -> list[tuple[str, Path]]:
    """Return the variable and the path of each file that holds a secret for the store of a URL."""
    return named_files(_secrets(urlsplit(url).scheme))


def s3_endpoint() -> str:
    """Return the URL of S3 that the environment names; empty for Amazon's own."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((value for name in names if (value := os.environ.get(name))), "")


def _secrets(scheme: str) -> dict[str, str]:
    return next((secrets for prefix, secrets in _SECRETS.items() if scheme.startswith(prefix)), {})


def _from_file(variable: str) -> str | None:
    # Without a file, obstore reads the variable itself.
    return secret_from_environment(variable) if os.environ.get(f"{variable}{SUFFIX}") else None


def _client_options(scheme: str) -> dict[str, str | bytes] | None:
    path = os.environ.get(CA_VARIABLE)
    if not path or not scheme.startswith("s3"):
        return None
    try:
        content = Path(path).read_bytes()
        ssl.create_default_context(cadata=content.decode())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else ""
        raise InvalidArgument(
            f"{CA_VARIABLE}: the file cannot be used ({reason or 'it has no certificate in PEM form'})"
        ) from None
    # obstore, which is given any, no longer reads the others of the environment.
    others = {name: value for name in _CLIENT_OPTIONS if (value := os.environ.get(f"AWS_{name.upper()}"))}
    return {**others, "root_certificate": content}
