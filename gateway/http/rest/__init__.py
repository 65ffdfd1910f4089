"""The API for programs: images, sessions, prompts and masks as resources; its messages are those of the contract."""

from gateway.http.rest.door import api_document, rest_door

__all__ = ["api_document", "rest_door"]
