"""Train sixpoint's networks: pre-training on synthetic scenes, fine-tuning and training on labelled images."""

from __future__ import annotations

import os

# Read when PyTorch loads OpenMP: with spinning threads, another busy process on the machine slows a step tenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Inherited by the worker processes: their small matrix products are slower on several threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
