"""Folders of tenants, within a folder that the operator names."""

from __future__ import annotations

from pathlib import Path

from gateway.core.access import Principal
from sixpoint.errors import FailedPrecondition

__all__ = ["tenant_path"]


def tenant_path(folder: Path, principal: Principal, *names: str) -> Path:
    """The path of names in the folder of the principal's tenant.

    Args:
        folder: Folder of all tenants.
        principal: For whom it is.
        names: Names of folders, each within the one before, of which none is a path.

    Raises:
        FailedPrecondition: Somebody put a link there that leads elsewhere.
    """
    tenant = folder.resolve() / principal.tenant
    path = tenant.joinpath(*names).resolve()
    if not path.is_relative_to(tenant):
        raise FailedPrecondition("the folder of this name is a link that leads elsewhere; remove the link")
    return path
