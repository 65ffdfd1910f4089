"""What the parameters of programs may be: values, of which none is a path or an option."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

__all__ = ["DatasetName", "FileName", "Modality"]

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
"""Name of a file in a folder of the tenant, or of a model."""
DatasetName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""Name of a dataset."""
Modality = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,20}$")]
"""Modality of images, such as "CT"."""
