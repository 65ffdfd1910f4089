from __future__ import annotations

import pytest

from gateway.core.access import Principal, Role, check_may_change, check_role, check_tenant
from sixpoint.errors import InvalidArgument, PermissionDenied


def _caller(*roles: Role, tenant: str = "default") -> Principal:
    return Principal("ada", tenant, frozenset(roles), "tokens")


def test_a_role_includes_those_before_it() -> None:
    annotator = _caller(Role.ANNOTATOR)
    assert annotator.has(Role.VIEWER)
    assert annotator.has(Role.ANNOTATOR)
    assert not annotator.has(Role.ENGINEER)
    assert _caller(Role.VIEWER, Role.ENGINEER).role is Role.ENGINEER


def test_a_missing_role_is_named_with_the_one_there_is() -> None:
    check_role(_caller(Role.VIEWER), Role.VIEWER)
    with pytest.raises(PermissionDenied, match="needs the role annotator, and you have the role viewer"):
        check_role(_caller(Role.VIEWER), Role.ANNOTATOR)
    with pytest.raises(PermissionDenied, match="you have no role"):
        check_role(_caller(), Role.VIEWER)


def test_accounts_of_two_tenants_differ_for_the_same_subject() -> None:
    callers = [_caller(tenant=tenant) for tenant in ("default", "north", "south")]
    callers.append(Principal("north/ada", "default"))
    assert len({caller.account for caller in callers}) == 4


def test_unchecked_names_make_no_principal() -> None:
    for subject, tenant in [("a\0b", "default"), ("ada", "../x"), ("ada", "")]:
        with pytest.raises(ValueError, match="must be checked"):
            Principal(subject, tenant)


def test_only_owner_and_admin_change_an_object() -> None:
    check_may_change(_caller(Role.ANNOTATOR), owner="ada")
    check_may_change(_caller(Role.ADMIN), owner="eve")
    with pytest.raises(PermissionDenied, match="belongs to somebody else"):
        check_may_change(_caller(Role.ENGINEER), owner="eve")


@pytest.mark.parametrize("name", ["default", "a", "st-olav-2", "a" * 63])
def test_names_of_tenants(name: str) -> None:
    assert check_tenant(name) == name


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "-a", "a-", "a b", "ä", "a" * 64, "a\n"])
def test_what_is_no_name_of_a_tenant_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="lower-case letters"):
        check_tenant(name)
