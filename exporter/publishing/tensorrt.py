"""TensorRT: what is asked of ONNX Runtime lies in the config; a plan is built by trtexec on the GPU that runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from exporter.graph.external_data import PLAN_FILE
from exporter.publishing.publish import PreparedModel
from exporter.repository.record import TensorRtEngine
from sixpoint.errors import FailedPrecondition, InvalidArgument

__all__ = ["Builder", "find_builder", "job_manifest", "trtexec_flags"]

# Where NVIDIA's containers have it; it is on no PATH there.
_TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
# Of "&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # trtexec --onnx=...", its first line since TensorRT 8.
_BANNER = re.compile(r"\[TensorRT v([0-9]{4,6})\]")
# Of a line as "[11/24/2026-15:10:38] [E] Error[4]: ...".
_ERROR = re.compile(r"\[E\]\s*(?:\[TRT\]\s*)?(.+)")
_LONGEST = 300
_SMI_SECONDS = 60

_JOB = Template("""\
# Builds a TensorRT engine on the node that will serve it: engines hold for one kind of GPU and one TensorRT version.
# The image is that of the Triton which serves, so that both have the same TensorRT.
apiVersion: batch/v1
kind: Job
metadata:
  name: sixpoint-tensorrt-$label-$version
spec:
  backoffLimit: 0
  ttlSecondsAfterFinished: 86400
  template:
    spec:
      restartPolicy: Never
      nodeSelector:
        nvidia.com/gpu.product: $gpu
      containers:
        - name: build
          image: $image
          command: ["$trtexec"]
          args:
$flags
          resources:
            limits:
              nvidia.com/gpu: 1
          volumeMounts:
            - {name: models, mountPath: /models, readOnly: true}
            - {name: engines, mountPath: /engines}
      volumes:
        - name: models
          persistentVolumeClaim: {claimName: $claim, readOnly: true}
        - name: engines
          persistentVolumeClaim: {claimName: $engines}
""")


@dataclass(frozen=True, kw_only=True)
class Builder:
    """What builds a plan on this machine.

    Attributes:
        trtexec: NVIDIA's program.
        gpu: Name of the GPU, as ``NVIDIA L4``; of all of them, where there are several.
        driver: Version of its driver.
    """

    trtexec: str
    gpu: str
    driver: str

    def build(self, release: PreparedModel, folder: Path, *, half: bool) -> PreparedModel:
        """A release of a plan, in place of an ONNX file; trtexec takes minutes.

        Args:
            release: Of an ONNX file.
            folder: An empty one for the plan.
            half: Whether TensorRT may compute a network of float32 in half precision.

        Raises:
            FailedPrecondition: trtexec cannot build it, or is older than TensorRT 8.
        """
        precision = "fp16" if half and release.precision == "fp32" else release.precision
        plan, tensor = folder / PLAN_FILE, release.config.inputs[0]
        flags = trtexec_flags(
            onnx=str(release.model),
            plan=str(plan),
            input_name=tensor.name,
            shape=tensor.dims,
            batch=release.config.max_batch_size,
            precision=precision,
        )
        done = _run(self.trtexec, *flags)
        if done.returncode or not plan.is_file():
            raise FailedPrecondition(
                f"trtexec cannot build the engine: {_reason(done)}; a smaller --max-batch-size needs less memory, and "
                "--tensorrt accelerator leaves to CUDA what TensorRT cannot run"
            )
        banner = _BANNER.search(done.stdout + done.stderr)
        if banner is None:
            raise FailedPrecondition("trtexec does not say its TensorRT's version: version 8 or a newer one is needed")
        engine = TensorRtEngine(gpu=self.gpu, driver=self.driver, tensorrt=_version(banner[1]))
        return replace(release, model=plan, precision=precision, engine=engine)


def find_builder() -> Builder:
    """What builds a plan on this machine.

    Raises:
        FailedPrecondition: There is no GPU, or GPUs of several kinds; or no trtexec.
    """
    done = _run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", timeout=_SMI_SECONDS)
    # On failure it writes why, to the same place.
    gpus = sorted({line.strip() for line in done.stdout.splitlines()} - {""}) if not done.returncode else []
    if not gpus:
        raise FailedPrecondition(
            "a TensorRT plan is built on the GPU that runs it, and this machine has none: print a Kubernetes Job that "
            "builds it there (exporter tensorrt-job), or use --tensorrt accelerator"
        )
    if len(gpus) > 1:
        raise FailedPrecondition(
            f"a TensorRT plan holds for one kind of GPU, and this machine has {len(gpus)} kinds: publish from a "
            "container that is given one, as Triton's must be (docker run --gpus device=0)"
        )
    trtexec = shutil.which("trtexec") or shutil.which(_TRTEXEC)
    if trtexec is None:
        raise FailedPrecondition(
            f"a TensorRT plan is built by trtexec, which is neither on PATH nor {_TRTEXEC}: publish from the container "
            "of the Triton that serves, so that both have the same TensorRT, or use --tensorrt accelerator"
        )
    name, _, driver = gpus[0].rpartition(",")
    return Builder(trtexec=trtexec, gpu=name.strip(), driver=driver.strip())


def trtexec_flags(
    *, onnx: str, plan: str, input_name: str, shape: tuple[int, ...], batch: int, precision: str
) -> list[str]:
    """What trtexec is told, so that it builds an engine for batches of 1, which it is best at, to ``batch``.

    Inputs and outputs keep their types, as FP16 and UINT8: trtexec changes them only when it is told to.

    Args:
        onnx: The model's file.
        plan: The file to write.
        input_name: Of its input tensor.
        shape: Of one input, [channel, z, y, x].
        batch: Most inputs at once.
        precision: The least precise that a layer may be: "fp32", "fp16" or "int8".
    """
    size = "x".join(map(str, shape))
    allowed = {"fp32": [], "fp16": ["--fp16"], "int8": ["--fp16", "--int8"]}
    return [
        f"--onnx={onnx}",
        f"--saveEngine={plan}",
        f"--minShapes={input_name}:1x{size}",
        f"--optShapes={input_name}:1x{size}",
        f"--maxShapes={input_name}:{batch}x{size}",
        *allowed[precision],
    ]


def job_manifest(
    *,
    name: str,
    version: int,
    input_name: str,
    shape: tuple[int, ...],
    batch: int,
    precision: str,
    gpu: str,
    image: str,
    claim: str,
    engines: str,
) -> str:
    """A Kubernetes Job that builds a version's TensorRT engine with trtexec.

    Args:
        name: Of the model.
        version: Of the model.
        input_name: Of its input tensor.
        shape: Of one input, [channel, z, y, x].
        batch: Most inputs at once.
        precision: As :func:`trtexec_flags` has it.
        gpu: The node's label ``nvidia.com/gpu.product``.
        image: Of the container: that of the Triton which serves.
        claim: Of the volume that holds the repository.
        engines: Of the volume that the engine is written to.

    Raises:
        InvalidArgument: A name would change the manifest's meaning.
    """
    given = {"gpu": gpu, "image": image, "claim": claim, "engines": engines}
    for what, value in given.items():
        if not value or any(not (letter.isalnum() or letter in "._-/:@") for letter in value):
            raise InvalidArgument(f"--{what} must be letters, digits and ._-/:@, got {value!r}")
    flags = trtexec_flags(
        onnx=f"/models/{name}/{version}/model.onnx",
        plan=f"/engines/{name}-{version}.plan",
        input_name=input_name,
        shape=shape,
        batch=batch,
        precision=precision,
    )
    # Kubernetes' names are lower-case, without dots and underscores.
    label = "".join(letter if letter.isalnum() else "-" for letter in name.lower())[:40].strip("-")
    lines = "\n".join(f"            - {flag}" for flag in flags)
    return _JOB.substitute(given, label=label, version=version, trtexec=_TRTEXEC, flags=lines)


def _run(*command: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; one that cannot be run, or is not done in time, fails as any other."""
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, stdout="", stderr=type(error).__name__)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The first error that trtexec tells, which is the cause of those after it."""
    lines = [line.strip() for line in (*done.stderr.splitlines(), *done.stdout.splitlines()) if line.strip()]
    told = [match[1] for match in map(_ERROR.search, lines) if match]
    if told:
        return told[0][:_LONGEST]
    ended = f"it was ended by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return done.stderr.strip().partition("\n")[0][:_LONGEST] or ended


def _version(digits: str) -> str:
    """TensorRT's version of the digits in its banner: 8503 is 8.5.3, and since version 10, 100300 is 10.3.0."""
    number, unit = int(digits), 10_000 if len(digits) == 6 else 1_000
    return f"{number // unit}.{number % unit // 100}.{number % 100}"
