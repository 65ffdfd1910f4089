"""What doors share whose clients send all points of an object at each call: a client's window on an image."""

from gateway.http.windows.annotating import Annotating
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.names import ImageNames
from gateway.http.windows.results import Result, Results

__all__ = ["Annotating", "ImageHandle", "ImageNames", "Result", "Results"]
