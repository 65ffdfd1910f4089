"""What the blocking classes and those for asyncio have in common."""

from __future__ import annotations

import os

from sixpoint.client._operations.client import ClientOperations, OpenedSession
from sixpoint.client._operations.session import SessionOperations
from sixpoint.client._retry import Retry, Timeout
from sixpoint.client._transport.driver import Metadata
from sixpoint.client._transport.tls import TlsFiles
from sixpoint.client.models import SegmentInfo
from sixpoint.client.tokens import GivenToken, TokenSource, choose_source
from sixpoint.errors import InvalidArgument
from sixpoint.geometry import Geometry
from sixpoint.protocol import Target, owner_to_metadata, resolve_target
from sixpoint.volume import Volume

__all__ = ["BaseClient", "BaseSession"]

# gRPC does not say where a channel leads.
_OF_CHANNEL = "the address of its channel"


class BaseClient:
    """The settings of a client.

    Args:
        target: Address of the gateway; None for that of SIXPOINT_SERVER.
        timeout: Seconds to wait for each kind of call.
        retry: Policy for repeated attempts.
        owner: Name for quotas and lists of sessions; None for that of SIXPOINT_OWNER.
        tls: Files for TLS.
        token: Token that the client was given, if it was.
        has_channel: Whether the client was given a channel, so that the target only names it in messages.

    Raises:
        InvalidArgument: The address is none; the owner's name is too long or has control characters; files for TLS
            are given for a channel, or for an address without TLS; or a token cannot be sent, or only unencrypted.
    """

    def __init__(
        self,
        target: str | None,
        *,
        timeout: Timeout,
        retry: Retry,
        owner: str | None,
        tls: TlsFiles | None,
        token: GivenToken,
        has_channel: bool,
    ) -> None:
        self._address = Target(target or _OF_CHANNEL) if has_channel else resolve_target(target)
        self.target: str = str(self._address)
        if tls and has_channel:
            raise InvalidArgument("a client with a channel of its own takes no files for TLS: give them to the channel")
        if tls and not self._address.tls:
            raise InvalidArgument(
                f"files for TLS are given, but {self.target} is without TLS: write https://{self.target}"
            )
        self.timeout: Timeout = timeout
        self.retry: Retry = retry
        self.metadata: Metadata = owner_to_metadata(os.environ.get("SIXPOINT_OWNER", "") if owner is None else owner)
        self._tokens: TokenSource = choose_source(
            self._address, token, has_channel=has_channel, context=TlsFiles.from_environment().issuer_context
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r})"


class BaseSession:
    """The attributes of a session.

    Args:
        client: Operations of the client that opened the session.
        opened: The session.
        keep: Whether the session stays open when the ``with`` block ends.
    """

    def __init__(self, client: ClientOperations, opened: OpenedSession, *, keep: bool) -> None:
        self._operations = SessionOperations(client, opened)
        self.id: str = opened.info.id
        self.geometry: Geometry = opened.geometry
        self.volume: Volume | None = opened.volume
        self.keep: bool = keep

    @property
    def model(self) -> str:
        """Name of the session's model, as of the last answer or :meth:`refresh`."""
        return self._operations.state.model

    @property
    def revision(self) -> int:
        """Number of the session's changes, as of the last answer or :meth:`refresh`."""
        return self._operations.state.revision

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """Segments of the session by number, as of the last answer or :meth:`refresh`."""
        return tuple(segment for _, segment in sorted(self._operations.state.segments.items()))

    def __repr__(self) -> str:
        count = len(self._operations.state.segments)
        segments = f"{count} segment" if count == 1 else f"{count} segments"
        parts = (self.id, self.model, self.geometry.size_text, segments, f"revision {self.revision}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """The last mask over the image, for notebooks: of what the client has in memory, without a call."""
        from sixpoint.preview import picture_html, render_preview, render_silhouette

        mask = self._operations.state.last_mask
        if mask is None:
            return picture_html(None, caption=repr(self))
        picture = render_preview(self.volume, mask) if self.volume else render_silhouette(mask, self.geometry)
        return picture_html(picture, caption=repr(self))
