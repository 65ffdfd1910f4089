"""What the device of a run is called, and in which precision it computes fastest."""

from __future__ import annotations

import os

import torch

from trainer.training.config import ComputePrecision

__all__ = ["device_name", "fastest_precision"]


def fastest_precision() -> ComputePrecision:
    """The precision in which this machine trains fastest."""
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported()
    else:
        # Without AMX, bfloat16 convolutions take a CPU twice as long as those in single precision.
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = bool(capabilities.get("amx_bf16"))
    return ComputePrecision.MIXED if fast else ComputePrecision.SINGLE


def device_name(device: torch.device) -> str:
    """The name of a GPU, or the number of the CPU's cores."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {os.cpu_count()} cores"
