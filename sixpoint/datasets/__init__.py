"""Datasets as folders on this machine: import into a gateway's dataset, export of one, and the check of an export."""

from sixpoint.datasets.export import ExportedCase, ExportResult, export_dataset
from sixpoint.datasets.importing import (
    ImportedCase,
    ImportOptions,
    ImportResult,
    LabelNaming,
    SourceLayout,
    import_dataset,
    read_source,
)
from sixpoint.datasets.layouts import Layout
from sixpoint.datasets.manifest import Manifest, ManifestCase, read_manifest, verify_manifest

__all__ = [
    "ExportResult",
    "ExportedCase",
    "ImportOptions",
    "ImportResult",
    "ImportedCase",
    "LabelNaming",
    "Layout",
    "Manifest",
    "ManifestCase",
    "SourceLayout",
    "export_dataset",
    "import_dataset",
    "read_manifest",
    "read_source",
    "verify_manifest",
]
