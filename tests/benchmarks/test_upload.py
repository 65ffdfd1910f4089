from benchmarks.images.examples import Example
from benchmarks.upload import figures, measure


async def test_an_upload_is_measured_against_a_bare_stream(address: str, phantom: Example) -> None:
    found = await measure(phantom, 1, server=address, model="ellipsoid", repeats=2)
    assert found.mib * 2**20 == phantom.volume.array.nbytes
    assert found.mib_per_second > 0
    assert found.bare_mib_per_second > 0
    assert 0 < found.hash_share < 1
    assert found.growth is not None
    assert 0 < found.reply < 0.01
    assert found.reply == found.reply_bytes / (phantom.volume.array.size)
    assert any(one.name == "reply's mask, of the raw mask's bytes" for one in figures(found))
