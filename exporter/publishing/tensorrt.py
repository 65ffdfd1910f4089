"""Build TensorRT plans with trtexec: on this machine's GPU, or by a Kubernetes Job on the node that will serve them.

The TensorRT accelerator of ONNX Runtime needs no plan: it is part of the config (:mod:`exporter.repository.config`).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from exporter.graph.model_files import MODEL_FILE, PLAN_FILE
from exporter.publishing.prepared import PreparedModel
from exporter.repository.config import ExecutionConfig
from exporter.repository.layout import require_same_interface
from exporter.repository.protocol import ModelRepository
from exporter.repository.record import TensorRtEngine
from exporter.repository.view import read_config
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.io.secret_files import environment_without_secrets

__all__ = ["Builder", "build_plan", "find_builder", "job_manifest", "trtexec_flags", "with_accelerator"]

# Its place in NVIDIA's containers, where it is not on PATH.
_TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
# In "&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # trtexec --onnx=...", its first line since TensorRT 8.
_BANNER = re.compile(r"\[TensorRT v([0-9]{4,6})\]")
# In a line as "[11/24/2026-15:10:38] [E] Error[4]: ...".
_ERROR = re.compile(r"\[E\]\s*(?:\[TRT\]\s*)?(.+)")
_MAX_REASON = 300
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
    """The tools to build a plan on this machine.

    Attributes:
        trtexec: Path of NVIDIA's program.
        gpu: Name of the GPU, as ``NVIDIA L4``; several GPUs are of this kind.
        driver: Version of its driver.
    """

    trtexec: str
    gpu: str
    driver: str

    def build(self, prepared: PreparedModel, folder: Path, *, half: bool) -> PreparedModel:
        """Build a plan from a prepared ONNX file; trtexec takes minutes.

        Args:
            prepared: The model as an ONNX file.
            folder: Empty folder for the plan.
            half: Whether TensorRT may compute a network in float32 in half precision.

        Returns:
            The model as a plan.

        Raises:
            FailedPrecondition: trtexec cannot build the plan, or is older than TensorRT 8.
        """
        precision = "fp16" if half and prepared.precision == "fp32" else prepared.precision
        plan, tensor = folder / PLAN_FILE, prepared.config.inputs[0]
        flags = trtexec_flags(
            onnx=str(prepared.model),
            plan=str(plan),
            input_name=tensor.name,
            shape=tensor.dims,
            batch=prepared.config.max_batch_size,
            precision=precision,
        )
        done = _run(self.trtexec, *flags)
        if done.returncode or not plan.is_file():
            raise FailedPrecondition(
                f"trtexec cannot build the engine: {_reason(done)}; a smaller --max-batch-size needs less memory, and "
                "--tensorrt accelerator leaves unsupported layers to CUDA"
            )
        banner = _BANNER.search(done.stdout + done.stderr)
        if banner is None:
            raise FailedPrecondition("trtexec does not state its TensorRT version: version 8 or newer is needed")
        engine = TensorRtEngine(gpu=self.gpu, driver=self.driver, tensorrt=_version(banner[1]))
        return replace(prepared, model=plan, precision=precision, engine=engine)


def find_builder() -> Builder:
    """Find the GPU and trtexec on this machine.

    Raises:
        FailedPrecondition: The machine has no GPU, GPUs of several kinds, or no trtexec.
    """
    done = _run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", timeout=_SMI_SECONDS)
    # On failure nvidia-smi writes the reason to stdout, too.
    gpus = sorted({line.strip() for line in done.stdout.splitlines()} - {""}) if not done.returncode else []
    if not gpus:
        raise FailedPrecondition(
            "a TensorRT plan is built on the GPU that runs it, and this machine has none: print a Kubernetes Job that "
            "builds it there (exporter tensorrt-job), or use --tensorrt accelerator"
        )
    if len(gpus) > 1:
        raise FailedPrecondition(
            f"a TensorRT plan runs on one kind of GPU, and this machine has {len(gpus)} kinds: publish from a "
            "container with one of them, as Triton's must be (docker run --gpus device=0)"
        )
    trtexec = shutil.which("trtexec") or shutil.which(_TRTEXEC)
    if trtexec is None:
        raise FailedPrecondition(
            f"a TensorRT plan is built by trtexec, which is neither on PATH nor {_TRTEXEC}: publish from the container "
            "of the Triton that serves, so that both have the same TensorRT, or use --tensorrt accelerator"
        )
    name, _, driver = gpus[0].rpartition(",")
    return Builder(trtexec=trtexec, gpu=name.strip(), driver=driver.strip())


def with_accelerator(prepared: PreparedModel) -> PreparedModel:
    """Have ONNX Runtime run a model by its TensorRT accelerator, in half precision, on a GPU."""
    return replace(prepared, config=replace(prepared.config, execution=ExecutionConfig(tensorrt=True)))


def build_plan(
    repository: ModelRepository, prepared: PreparedModel, builder: Builder, *, folder: Path, half: bool
) -> PreparedModel:
    """Build a plan, after a check that the repository can take it.

    Args:
        repository: The repository that the plan is for.
        prepared: The model as an ONNX file.
        builder: The tools to build it.
        folder: Folder to create for the plan.
        half: Whether TensorRT may compute a network in float32 in half precision.

    Raises:
        FailedPrecondition: The repository has ONNX versions of this model, or versions with other tensors; or trtexec
            cannot build the plan.
    """
    prepared = replace(prepared, config=replace(prepared.config, backend="tensorrt"))
    # Publishing checks this again under the repository's lock, but the build takes minutes.
    old = read_config(repository, prepared.config.name)
    if old is not None:
        require_same_interface(old, prepared.config)
    folder.mkdir()
    return builder.build(prepared, folder, half=half)


def trtexec_flags(
    *, onnx: str, plan: str, input_name: str, shape: tuple[int, ...], batch: int, precision: str
) -> list[str]:
    """Return trtexec's flags for a plan that takes batches of 1, for which it is optimised, to ``batch``.

    Inputs and outputs keep their types, as FP16 and UINT8: trtexec changes them only by a flag.

    Args:
        onnx: Path of the ONNX file.
        plan: Path of the plan to write.
        input_name: Name of the input tensor.
        shape: Shape of one input, [channel, z, y, x].
        batch: Largest batch.
        precision: Lowest precision that a layer may use: "fp32", "fp16" or "int8".
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
    """Return the manifest of a Kubernetes Job that builds a version's TensorRT plan with trtexec.

    Args:
        name: Name of the model.
        version: Number of the version.
        input_name: Name of the input tensor.
        shape: Shape of one input, [channel, z, y, x].
        batch: Largest batch.
        precision: Lowest precision that a layer may use; see :func:`trtexec_flags`.
        gpu: Value of the node's label ``nvidia.com/gpu.product``.
        image: Container image: that of the Triton which serves the plan.
        claim: Claim of the volume that holds the repository.
        engines: Claim of the volume that the plan is written to.

    Raises:
        InvalidArgument: A value has characters that would change the manifest's meaning.
    """
    values = {"gpu": gpu, "image": image, "claim": claim, "engines": engines}
    for flag, value in values.items():
        if not value or any(not (letter.isalnum() or letter in "._-/:@") for letter in value):
            raise InvalidArgument(f"--{flag} must be letters, digits and ._-/:@, got {value!r}")
    flags = trtexec_flags(
        onnx=f"/models/{name}/{version}/{MODEL_FILE}",
        plan=f"/engines/{name}-{version}.plan",
        input_name=input_name,
        shape=shape,
        batch=batch,
        precision=precision,
    )
    # Names in Kubernetes are lower-case, without dots and underscores.
    label = "".join(letter if letter.isalnum() else "-" for letter in name.lower())[:40].strip("-")
    lines = "\n".join(f"            - {flag}" for flag in flags)
    return _JOB.substitute(values, label=label, version=version, trtexec=_TRTEXEC, flags=lines)


def _run(*command: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program; one that cannot be started or times out returns exit code 1."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
            env=environment_without_secrets(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, stdout="", stderr=type(error).__name__)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the first error that trtexec reports, which causes those after it."""
    lines = [line.strip() for line in (*done.stderr.splitlines(), *done.stdout.splitlines()) if line.strip()]
    errors = [match[1] for match in map(_ERROR.search, lines) if match]
    if errors:
        return errors[0][:_MAX_REASON]
    ended = f"it was ended by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return done.stderr.strip().partition("\n")[0][:_MAX_REASON] or ended


def _version(digits: str) -> str:
    """Convert the digits in trtexec's banner to a version: 8503 to 8.5.3 and, since version 10, 100300 to 10.3.0."""
    number, unit = int(digits), 10_000 if len(digits) == 6 else 1_000
    return f"{number // unit}.{number % unit // 100}.{number % 100}"
