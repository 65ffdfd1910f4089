"""TensorRT: what is asked of ONNX Runtime lies in the config; a plan must be built on the GPU that will run it."""

from __future__ import annotations

import importlib.util
import shutil
from string import Template

from sixpoint.errors import FailedPrecondition, InvalidArgument

__all__ = ["job_manifest", "refuse_plan"]

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
          command: ["/usr/src/tensorrt/bin/trtexec"]
          args:
            - --onnx=/models/$name/$version/model.onnx
            - --saveEngine=/engines/$name-$version.plan
            - --minShapes=$input:1x$shape
            - --optShapes=$input:1x$shape
            - --maxShapes=$input:${batch}x$shape
            - --fp16
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


def refuse_plan() -> None:
    """Say why no plan is built here.

    Raises:
        FailedPrecondition: Always: there is no GPU or no TensorRT; or there is, and a repository that Triton's ONNX
            Runtime serves cannot hold one.
    """
    if shutil.which("nvidia-smi") is None:
        raise FailedPrecondition(
            "a TensorRT plan is built on the GPU that runs it, and this machine has none: print a Kubernetes Job that "
            "builds it there (exporter tensorrt-job), or use --tensorrt accelerator"
        )
    if importlib.util.find_spec("tensorrt") is None and shutil.which("trtexec") is None:
        raise FailedPrecondition(
            "a TensorRT plan needs the package tensorrt or trtexec, and neither is installed: pip install tensorrt, or "
            "use --tensorrt accelerator"
        )
    raise FailedPrecondition(
        "publishing a TensorRT plan is not supported yet: use --tensorrt accelerator, which builds the engine in Triton"
    )


def job_manifest(
    *,
    name: str,
    version: int,
    input_name: str,
    shape: tuple[int, ...],
    batch: int,
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
    # Kubernetes' names are lower-case, without dots and underscores.
    label = "".join(letter if letter.isalnum() else "-" for letter in name.lower())[:40].strip("-")
    return _JOB.substitute(
        given,
        name=name,
        label=label,
        version=version,
        input=input_name,
        shape="x".join(map(str, shape)),
        batch=batch,
    )
