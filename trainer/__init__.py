"""Training of sixpoint's networks: synthetic pre-training of the six-extreme-point annotation network."""

from __future__ import annotations

import os

# Read once, when torch loads its OpenMP: with spinning threads one busy neighbour on the machine slows a step tenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Inherited by the processes that make samples: their small products of matrices are slower on many threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
