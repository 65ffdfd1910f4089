from pathlib import Path

import pytest
import torch

from benchmarks.torchscript import main
from exporter.repository.config import FILE_NAME, ModelConfig
from sixpoint.model_spec import SPEC_PARAMETER, ModelSpec, NetworkSpec, RoiSpec
from tests.support.models import ELLIPSOID_SPEC
from trainer.training.network import build_network

SPEC = ELLIPSOID_SPEC.model_copy(
    update={
        "roi": RoiSpec(size=(16, 16, 16)),
        "network": NetworkSpec(
            name="UNet",
            arguments={"spatial_dims": 3, "in_channels": 3, "out_channels": 1, "channels": [4, 8], "strides": [2]},
        ),
    }
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_the_file_is_the_network_and_its_spec(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(ModelConfig.of(SPEC, name="small").to_text())
    network = build_network(SPEC).eval()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "checkpoint.pt")
    main(tmp_path / "new" / "small.ts", checkpoint=tmp_path / "checkpoint.pt", model=tmp_path)
    extra = {SPEC_PARAMETER: ""}
    loaded = torch.jit.load(tmp_path / "new" / "small.ts", _extra_files=extra)  # type: ignore[no-untyped-call]
    assert ModelSpec.from_json(extra[SPEC_PARAMETER]) == SPEC
    value = torch.rand(1, *SPEC.input_shape)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(value), network(value))
