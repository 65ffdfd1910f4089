from pathlib import Path

import torch

from benchmarks.torchscript import main
from sixpoint.spec import PARAMETER, ModelSpec
from tests.harness import ROOT
from trainer.network import build


def test_the_file_is_the_network_and_its_spec(tmp_path: Path) -> None:
    extra = {PARAMETER: ""}
    model = ROOT / "model_repository" / "annotation"
    main(tmp_path / "first.ts", model=model)
    torch.jit.load(tmp_path / "first.ts", _extra_files=extra)
    spec = ModelSpec.from_json(extra[PARAMETER])
    torch.manual_seed(0)
    network = build(spec).eval()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "checkpoint.pt")
    main(tmp_path / "second.ts", checkpoint=tmp_path / "checkpoint.pt", model=model)
    value = torch.rand(1, *spec.input_shape)
    with torch.inference_mode():
        torch.testing.assert_close(torch.jit.load(tmp_path / "second.ts")(value), network(value), atol=1e-4, rtol=1e-4)
