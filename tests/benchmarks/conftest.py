import pytest

from benchmarks.volumes import Example, read_example


@pytest.fixture(scope="session")
def phantom() -> Example:
    """The phantom CT, which takes a second to make."""
    return read_example()
