"""What doors share whose clients send all points of an object at each call: a client's window on an image."""

from gateway.http.windows.windows import Windows, make_windows

__all__ = ["Windows", "make_windows"]
