"""Programs that end with the process that started them."""

from sixpoint.processes.guarding import guarded, signal_of

__all__ = ["guarded", "signal_of"]
