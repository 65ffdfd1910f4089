"""A gateway's datasets and folders on this machine: import, export and its check, agreement of annotators."""

from sixpoint.datasets.agreement import DatasetAgreement, LabelAgreement, PairAgreement, dataset_agreement
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
    "DatasetAgreement",
    "ExportResult",
    "ExportedCase",
    "ImportOptions",
    "ImportResult",
    "ImportedCase",
    "LabelAgreement",
    "LabelNaming",
    "Layout",
    "Manifest",
    "ManifestCase",
    "PairAgreement",
    "SourceLayout",
    "dataset_agreement",
    "export_dataset",
    "import_dataset",
    "read_manifest",
    "read_source",
    "verify_manifest",
]
