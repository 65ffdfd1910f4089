from __future__ import annotations

from sixpoint import errors


def test_every_class_of_the_tree_is_offered_and_has_a_reason_of_its_own() -> None:
    classes = list(errors.SixpointError.tree())
    assert {kind.__name__ for kind in classes} | {"Violation"} == set(errors.__all__)
    reasons = [kind.reason for kind in classes]
    assert len(set(reasons)) == len(reasons)


def test_the_tree_in_the_documentation_names_every_class() -> None:
    assert errors.__doc__
    assert [kind.__name__ for kind in errors.SixpointError.tree() if kind.__name__ not in errors.__doc__] == []


def test_an_error_says_what_was_wrong() -> None:
    error = errors.PromptError("too few", violations=(errors.Violation("points", "six"),), retry_after=2.0)
    assert str(error) == error.message == "too few"
    assert error.violations[0].field == "points"
    assert error.retry_after == 2.0
