import pytest

from benchmarks.images.examples import Example, read_example


@pytest.fixture(scope="session")
def phantom() -> Example:
    """The phantom CT, which takes a second to make."""
    return read_example()
