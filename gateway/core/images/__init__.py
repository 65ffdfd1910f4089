"""Images: upload and open them, cache them on disk and in memory, charge quotas, and remove unused ones."""

from gateway.core.images.quota import ImageLimits
from gateway.core.images.records import ImageKey, ImageRecord
from gateway.core.images.repository import (
    BlobStore,
    ImageMaintenance,
    ImageReader,
    ImageRepository,
    ImageUpkeep,
    ImageWriter,
)
from gateway.core.images.sent_files import SentFiles
from gateway.core.images.store import ImageStore
from gateway.core.images.stored_image import ImageHeader, ImageSource, StoredImage
from gateway.core.images.upload import Upload
from gateway.core.images.upload_file import FileHeader
from gateway.core.images.upload_folder import UnfinishedLimits

__all__ = [
    "BlobStore",
    "FileHeader",
    "ImageHeader",
    "ImageKey",
    "ImageLimits",
    "ImageMaintenance",
    "ImageReader",
    "ImageRecord",
    "ImageRepository",
    "ImageSource",
    "ImageStore",
    "ImageUpkeep",
    "ImageWriter",
    "SentFiles",
    "StoredImage",
    "UnfinishedLimits",
    "Upload",
]
