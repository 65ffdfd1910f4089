"""Which role each HTTP route needs. A route that is not in the table is refused."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.access import Role
from sixpoint.errors import PermissionDenied

__all__ = ["ROLES", "role_for"]

_MONAI_LABEL: Mapping[str, Role | None] = {
    # Clients ask it before they have credentials.
    "GET /auth/": None,
    "GET /info/": Role.VIEWER,
    "GET /logs/": Role.VIEWER,
    "PUT /session/": Role.ANNOTATOR,
    "GET /session/{session_id}": Role.VIEWER,
    "DELETE /session/{session_id}": Role.ANNOTATOR,
    "GET /datastore/": Role.VIEWER,
    "PUT /datastore/": Role.ANNOTATOR,
    "PUT /datastore/image": Role.ANNOTATOR,
    "GET /datastore/image": Role.VIEWER,
    "GET /datastore/image/info": Role.VIEWER,
    "POST /infer/{model}": Role.ANNOTATOR,
    "POST /activelearning/{strategy}": Role.ANNOTATOR,
    # What is not there is said to those who might have used it.
    "GET /train/": Role.VIEWER,
    "POST /train/": Role.ENGINEER,
    "POST /train/{model}": Role.ENGINEER,
    "DELETE /train/": Role.ENGINEER,
    "GET /scoring/": Role.VIEWER,
    "GET /batch/infer": Role.VIEWER,
    "POST /batch/infer/{model}": Role.ENGINEER,
    "GET /datastore/label": Role.VIEWER,
    "PUT /datastore/label": Role.ANNOTATOR,
    "DELETE /datastore/label": Role.ANNOTATOR,
    "DELETE /datastore/": Role.ADMIN,
}
ROLES: Mapping[str, Role | None] = {
    "GET /": None,
    **{
        f"{method} /monailabel{path}": role
        for (method, path), role in ((route.split(" ", 1), role) for route, role in _MONAI_LABEL.items())
    },
}
"""Least role for each route, by its method and template; None for everybody: it tells nothing of images or people."""


def role_for(route: str) -> Role | None:
    """Return the role that a route needs; None if everybody may call it.

    Args:
        route: Method and template of the path, such as ``GET /monailabel/info/``.

    Raises:
        PermissionDenied: The route is not in the table.
    """
    if route not in ROLES:
        raise PermissionDenied("no role may make this call")
    return ROLES[route]
