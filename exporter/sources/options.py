"""What a user says about an export beside its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.graph.external_data import MAX_PROTOBUF_BYTES
from exporter.graph.precision import NumericPrecision
from exporter.sources.mapping import merge, read_mapping
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import LICENCE_NOTE, ModelSpec

__all__ = ["ExportOptions", "spec_of_file"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        spec: File that describes the model, wholly or (for a bundle) in part; takes precedence over the source.
        overrides: Fields of the spec from command line flags; take precedence over ``spec``.
        trust_torchscript: Whether the user trusts the origin of a TorchScript file, which is a program.
        weights: File of weights to use in place of the bundle's own.
        ignore: Names of transforms to leave out.
        max_batch_size: Largest batch that Triton may form.
        tolerance: Largest accepted difference of a probability, 0 to 1.
        precision: Precision of the exported network; it is compared with the network in float32.
        calibrate: Folder of images on which int8 is calibrated.
        least_dice: Smallest accepted mean Dice of the masks in int8 on these images.
        max_file_bytes: Size limit of an ONNX file; the weights of a larger model go to a second file.
    """

    spec: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    trust_torchscript: bool = False
    ignore: tuple[str, ...] = ()
    max_batch_size: int = 8
    tolerance: float = 2 / 255
    precision: NumericPrecision = NumericPrecision.FP32
    calibrate: Path | None = None
    least_dice: float = 0.97
    max_file_bytes: int = MAX_PROTOBUF_BYTES

    def spec_overrides(self) -> dict[str, Any]:
        """Return what the user says of the spec: the file, overridden by the flags.

        Raises:
            InvalidArgument: The file cannot be read.
        """
        return merge(read_mapping(self.spec, what="the spec") if self.spec else {}, self.overrides)


def spec_of_file(source: Path, options: ExportOptions, *, network: str = "") -> ModelSpec:
    """Return the spec of a file that does not describe itself: the user's, or ``spec.yaml`` beside the file.

    Args:
        source: The file.
        options: Options of the export.
        network: Name of the network where the spec states none.

    Raises:
        InvalidArgument: There is no spec.
        ModelSpecError: The spec is invalid.
    """
    mapping = options.spec_overrides()
    beside = source.with_name("spec.yaml")
    if options.spec is None:
        if not beside.is_file():
            raise InvalidArgument(
                f"nothing describes {source.name}: name its spec with --spec, or put spec.yaml beside it"
            )
        mapping = merge(read_mapping(beside, what="the spec"), mapping)
    spec = ModelSpec.from_mapping(merge({"network": {"name": network}} if network else {}, mapping))
    if spec.licence != "unknown":
        # The trainer wrote why the licence is unknown; it was stated since.
        stated = {name: text for name, text in spec.provenance.items() if name != LICENCE_NOTE}
        spec = spec.model_copy(update={"provenance": stated})
    return spec
