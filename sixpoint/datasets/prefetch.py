"""Annotate one image after another, while the next one is downloaded."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from sixpoint.client import Client, NextImage
from sixpoint.errors import SixpointError
from sixpoint.volume import Volume

__all__ = ["images_to_annotate"]


def images_to_annotate(
    client: Client,
    name: str,
    *,
    strategy: str = "first",
    split: str = "",
    readers: int = 1,
    keep_seconds: float = 0.0,
) -> Generator[tuple[NextImage, Volume], None, None]:
    """Yield the images that wait for this annotator, until none does; meanwhile the next one is downloaded.

    Only the image that was yielded is kept from others: the next one is looked at, and another one is downloaded if
    somebody else got it first. Save or skip an image before you ask for the next; one that was neither comes again. Two
    images are in memory at a time.

    Args:
        client: Client of the gateway.
        name: Name of the dataset.
        strategy: As :meth:`sixpoint.client.datasets.Datasets.next_image` takes it.
        split: Only images for "training", "validation" or "test".
        readers: Number of people who annotate each image.
        keep_seconds: Seconds for which nobody else gets an image; 0 for an hour.

    Yields:
        An image, with why it was chosen, and its voxels.

    Raises:
        DatasetNotFound: There is no such dataset.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")

    def load_ahead() -> tuple[str, Volume] | None:
        ahead = client.datasets.next_image(name, strategy=strategy, split=split, readers=readers, peek=True)
        return (ahead.digest, client.datasets.download(ahead.digest)) if ahead else None

    loading: Future[tuple[str, Volume] | None] | None = None
    try:
        while True:
            image = client.datasets.next_image(
                name, strategy=strategy, split=split, readers=readers, keep_seconds=keep_seconds
            )
            if image is None:
                return
            loaded = _loaded(loading)
            # The digest as it was downloaded: to compute it takes 0.1 s for a large image.
            is_next = loaded is not None and loaded[0] == image.digest
            volume = loaded[1] if loaded and is_next else client.datasets.download(image.digest)
            loading = pool.submit(load_ahead)
            yield image, volume
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _loaded(loading: Future[tuple[str, Volume] | None] | None) -> tuple[str, Volume] | None:
    """Digest and voxels of what was downloaded ahead; None if there is nothing, or it could not be downloaded."""
    if loading is None:
        return None
    try:
        return loading.result()
    except SixpointError:
        # It is asked for once more, and fails there if it has to.
        return None
