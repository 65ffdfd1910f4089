"""Folders of the checkout."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ROOT", "TRITON_ENVIRONMENT"]

ROOT = Path(__file__).parents[2]
TRITON_ENVIRONMENT = ROOT / ".triton"
