"""Runtime: what every call needs, such as admission, deadlines, the model catalog and inference."""

from gateway.core.runtime.admission import Admission
from gateway.core.runtime.catalog import Catalog, Model
from gateway.core.runtime.core_pool import CorePool
from gateway.core.runtime.deadline import Deadline, DeadlineLimits
from gateway.core.runtime.inference import (
    FairInference,
    Inference,
    InferenceResult,
    check_finite,
    decode_probabilities,
)
from gateway.core.runtime.observer import NO_OBSERVER, Observer
from gateway.core.runtime.stage import Stage

__all__ = [
    "NO_OBSERVER",
    "Admission",
    "Catalog",
    "CorePool",
    "Deadline",
    "DeadlineLimits",
    "FairInference",
    "Inference",
    "InferenceResult",
    "Model",
    "Observer",
    "Stage",
    "check_finite",
    "decode_probabilities",
]
