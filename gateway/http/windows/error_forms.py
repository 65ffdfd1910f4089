"""Errors in the form of AIAA's server, for clients whose dialect that is."""

from __future__ import annotations

from fastapi.responses import JSONResponse

from gateway.http.errors import HttpRefusal, error_headers, with_frame_advice

__all__ = ["aiaa_error_response"]


def aiaa_error_response(refusal: HttpRefusal) -> JSONResponse:
    """Return the answer for an error as AIAA's clients expect it; they show all of it to their users."""
    error = refusal.error
    message = with_frame_advice(error.message, named=False)
    content = {"error": {"message": [message], "type": type(error).__name__}, "success": False}
    return JSONResponse(content, status_code=refusal.code, headers=error_headers(refusal))
