"""Import of folders, and of studies on DICOMweb servers, into a gateway's dataset."""

from sixpoint.datasets.importing.labels import LabelNaming
from sixpoint.datasets.importing.recognise import read_source
from sixpoint.datasets.importing.run import ImportedCase, ImportOptions, ImportResult, import_dataset
from sixpoint.datasets.importing.source import Source, SourceCase, SourceLayout

__all__ = [
    "ImportOptions",
    "ImportResult",
    "ImportedCase",
    "LabelNaming",
    "Source",
    "SourceCase",
    "SourceLayout",
    "import_dataset",
    "read_source",
]
