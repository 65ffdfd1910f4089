"""Datasets on the gateway: images with labels, and the annotations that people saved."""

from sixpoint.client.datasets.asyncio import AsyncDatasets
from sixpoint.client.datasets.blocking import Datasets

__all__ = ["AsyncDatasets", "Datasets"]
