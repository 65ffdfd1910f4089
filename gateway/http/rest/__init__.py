"""The API for programs: images, sessions, prompts and masks as resources; its messages are those of the contract."""

from gateway.http.rest.door import rest_door

__all__ = ["rest_door"]
