"""The names under which clients send images, and later ask for them.

They may be patients' names: they stay in the memory of this process, as hashes with a key that nobody knows.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

from gateway.core.access import Principal
from gateway.http.windows.handles import ImageHandle
from sixpoint.errors import ImageNotFound

__all__ = ["ImageNames"]

_MAX_OWNERS, _MAX_NAMES = 1000, 1000


class ImageNames:
    """Finds images by the ids that this gateway gave, or by the names that their owner gave."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._by_owner: OrderedDict[str, OrderedDict[bytes, str]] = OrderedDict()

    def remember(self, principal: Principal, name: str, digest: str) -> None:
        """Note the name under which somebody sent an image; the names used last are known."""
        names = self._by_owner.setdefault(principal.account, OrderedDict())
        self._by_owner.move_to_end(principal.account)
        names[self._hash(name)] = digest
        names.move_to_end(self._hash(name))
        if len(names) > _MAX_NAMES:
            names.popitem(last=False)
        if len(self._by_owner) > _MAX_OWNERS:
            self._by_owner.popitem(last=False)

    def find(self, principal: Principal, text: str) -> ImageHandle:
        """Return the image of an id, or of a name that the same caller gave.

        Raises:
            ImageNotFound: There is no such id or name.
        """
        names = self._by_owner.get(principal.account)
        digest = names.get(self._hash(text)) if names else None
        if digest is not None:
            return ImageHandle(digest)
        try:
            return ImageHandle.parse(text)
        except ImageNotFound:
            raise ImageNotFound(
                "no image has this id or name here; send the image (PUT /session/ or /datastore/) and ask again"
            ) from None

    def _hash(self, name: str) -> bytes:
        return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
