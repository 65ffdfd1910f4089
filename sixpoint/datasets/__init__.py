"""A gateway's datasets and folders on this machine: import, export and its check, agreement of annotators."""

from sixpoint.datasets.access import DatasetReader, DatasetSource, DatasetTarget, DatasetWriter
from sixpoint.datasets.adjudication import (
    Disagreement,
    annotations_to_decide,
    find_disagreements,
    majority_masks,
)
from sixpoint.datasets.agreement import DatasetAgreement, LabelAgreement, PairAgreement, dataset_agreement
from sixpoint.datasets.bids_layout import check_contrast
from sixpoint.datasets.export import ExportedCase, ExportResult, export_dataset
from sixpoint.datasets.importing import (
    ImportedCase,
    ImportOptions,
    ImportResult,
    LabelNaming,
    Source,
    SourceCase,
    SourceLayout,
    import_dataset,
    read_source,
)
from sixpoint.datasets.layouts import Layout
from sixpoint.datasets.manifest import MANIFEST, Manifest, ManifestCase, read_manifest, verify_manifest
from sixpoint.datasets.prefetch import images_to_annotate
from sixpoint.datasets.traces import TrainedVersion, exports_with, versions_trained_on

__all__ = [
    "MANIFEST",
    "DatasetAgreement",
    "DatasetReader",
    "DatasetSource",
    "DatasetTarget",
    "DatasetWriter",
    "Disagreement",
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
    "Source",
    "SourceCase",
    "SourceLayout",
    "TrainedVersion",
    "annotations_to_decide",
    "check_contrast",
    "dataset_agreement",
    "export_dataset",
    "exports_with",
    "find_disagreements",
    "images_to_annotate",
    "import_dataset",
    "majority_masks",
    "read_manifest",
    "read_source",
    "verify_manifest",
    "versions_trained_on",
]
