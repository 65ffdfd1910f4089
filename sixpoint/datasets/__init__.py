"""Datasets as folders on this machine: export of a gateway's dataset, and the check of an export."""

from sixpoint.datasets.export import ExportedCase, ExportResult, export_dataset
from sixpoint.datasets.layouts import Layout
from sixpoint.datasets.manifest import Manifest, ManifestCase, read_manifest, verify_manifest

__all__ = [
    "ExportResult",
    "ExportedCase",
    "Layout",
    "Manifest",
    "ManifestCase",
    "export_dataset",
    "read_manifest",
    "verify_manifest",
]
