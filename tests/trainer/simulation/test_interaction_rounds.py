"""A round writes the network's own answer and one correcting click into the channels that serving fills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import trainer
from sixpoint.errors import InvalidArgument, ModelSpecError
from sixpoint.model_spec import ClickChannel, ModelSpec
from sixpoint.preprocessing import heatmap
from trainer.data.spec_files import read_spec
from trainer.simulation.interaction_rounds import Correction, InteractionChannels, find_corrections
from trainer.simulation.simulated_user import ErrorClick
from trainer.training.network import build_network
from trainer.training.start import adapt_weights, load_matching

EDGE = 16


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return read_spec(Path(trainer.__file__).with_name("annotation.yaml"))


def with_channels(spec: ModelSpec, keep: list[int]) -> ModelSpec:
    channels = tuple(spec.input.channels[index] for index in keep)
    assert spec.network is not None
    slim = {**spec.network.arguments, "in_channels": len(keep), "channels": [4, 4, 4, 4, 4]}
    return spec.model_copy(
        update={
            "input": spec.input.model_copy(update={"channels": channels}),
            "network": spec.network.model_copy(update={"arguments": slim}),
        }
    )


def test_a_round_shows_the_answer_and_a_click_on_the_error(spec: ModelSpec) -> None:
    rounds = InteractionChannels.from_spec(spec)
    assert rounds is not None
    negative, positive = rounds.clicks
    channels = torch.zeros(2, len(spec.input.channels), EDGE, EDGE, EDGE)
    target = torch.zeros(2, 1, EDGE, EDGE, EDGE)
    target[0, 0, 4:9, 4:9, 4:9] = 1
    logits = torch.full_like(target, -8.0)
    logits[1, 0, 2:7, 2:7, 10:15] = 8.0
    clicked = rounds.write_corrections(channels, logits, find_corrections(None, target, logits)())
    # The boxes of the two errors, and three cells round them.
    assert clicked[0, 0].nonzero().amin(0).tolist() == [1, 1, 1]
    assert clicked[0, 0].nonzero().amax(0).tolist() == [11, 11, 11]
    assert clicked.sum() == 11**3 + 10 * 10 * 9
    assert torch.equal(channels[:, rounds.previous], torch.sigmoid(logits[:, 0]))
    # The middle cells of the two errors: one missed, one too much.
    assert channels[0, positive].argmax() == np.ravel_multi_index((6, 6, 6), (EDGE,) * 3)
    assert channels[0, positive].max() == pytest.approx(1.0)
    assert not channels[0, negative].any()
    assert channels[1, negative].argmax() == np.ravel_multi_index((4, 4, 12), (EDGE,) * 3)
    assert not channels[1, positive].any()


def test_clicks_stay_when_more_are_added(spec: ModelSpec) -> None:
    rounds = InteractionChannels.from_spec(spec)
    assert rounds is not None
    channels = torch.zeros(1, len(spec.input.channels), EDGE, EDGE, EDGE)
    target = torch.zeros(1, 1, EDGE, EDGE, EDGE)
    target[0, 0, 1:6, 1:6, 1:6] = 1
    target[0, 0, 11:15, 11:15, 11:15] = 1
    logits = torch.full_like(target, -8.0)
    rounds.write_corrections(channels, logits, find_corrections(None, target, logits)())
    logits[0, 0, 1:6, 1:6, 1:6] = 8.0
    rounds.write_corrections(channels, logits, find_corrections(np.random.default_rng(0), target, logits)())
    drawn = channels[0, rounds.clicks[1]]
    assert drawn[3, 3, 3] == pytest.approx(1.0)
    assert drawn[11:15, 11:15, 11:15].max() == pytest.approx(1.0)


def test_a_person_is_content_with_what_is_right() -> None:
    target = torch.from_numpy(np.random.default_rng(3).random((2, 1, EDGE, EDGE, EDGE), np.float32))
    logits = target - 0.5
    logits[0, 0, 2, 3, 4] *= -1
    first, second = find_corrections(None, target, logits)()
    assert first is not None
    assert first.click == ErrorClick(point=(4, 3, 2), positive=bool(target[0, 0, 2, 3, 4] > 0.5))
    assert second is None


def test_a_click_is_drawn_as_serving_draws_it(spec: ModelSpec) -> None:
    rounds = InteractionChannels.from_spec(spec)
    assert rounds is not None
    channels = torch.zeros(1, len(spec.input.channels), 12, 14, EDGE)
    click = ErrorClick(point=(3, 9, 5), positive=False)
    box = ((0, 12), (0, 14), (0, EDGE))
    rounds.write_corrections(channels, torch.zeros(1, 1, 12, 14, EDGE), [Correction(click=click, box=box)])
    place = 2.0 * (np.array([[3.5, 9.5, 5.5]]) / (EDGE, 14, 12)) - 1.0
    served = heatmap(place, shape=(12, 14, EDGE), sigma=rounds.sigmas[0])
    np.testing.assert_allclose(channels[0, rounds.clicks[0]].numpy(), served, atol=1e-6)


def of_widths(spec: ModelSpec, *widths: int, **more: object) -> ModelSpec:
    assert spec.network is not None
    arguments = {**spec.network.arguments, "channels": list(widths), **more}
    return spec.model_copy(update={"network": spec.network.model_copy(update={"arguments": arguments})})


@pytest.mark.parametrize("more", [{}, {"num_res_units": 0}, {"norm": "batch", "act": "prelu"}], ids=str)
def test_a_wider_network_answers_as_the_narrow_one(spec: ModelSpec, more: dict[str, object]) -> None:
    narrow, wide = of_widths(spec, 4, 6, 8, 8, 6, **more), of_widths(spec, 5, 8, 8, 11, 10, **more)
    small, large = build_network(narrow).eval(), build_network(wide).eval()
    large.load_state_dict(adapt_weights(small.state_dict(), old=narrow, new=wide))
    value = torch.randn(1, len(spec.input.channels), 32, 32, 32)
    assert torch.allclose(small(value), large(value), atol=1e-4)


@pytest.mark.parametrize("more", [{}, {"num_res_units": 0}, {"kernel_size": 5}], ids=str)
def test_a_network_that_does_not_hold_the_other_is_refused(spec: ModelSpec, more: dict[str, object]) -> None:
    wide = of_widths(spec, 5, 8, 8, 11, 10)
    # Narrower, or wider and of another make.
    for other in (
        of_widths(spec, 4, 6, 7, 8, 6, **more),
        *([of_widths(spec, 6, 9, 9, 12, 11, **more)] if more else []),
    ):
        state = adapt_weights(build_network(wide).state_dict(), old=wide, new=other)
        with pytest.raises(InvalidArgument, match="another network"):
            load_matching(build_network(other), state, source=Path("checkpoint.pt"))


def test_a_network_without_clicks_has_no_rounds_and_one_with_half_of_them_is_refused(spec: ModelSpec) -> None:
    assert InteractionChannels.from_spec(with_channels(spec, [0, 1, 2, 3, 4, 5])) is None
    with pytest.raises(ModelSpecError, match="positive, negative and previous"):
        InteractionChannels.from_spec(with_channels(spec, [0, 9]))


def test_weights_for_fewer_channels_start_a_network_with_more(spec: ModelSpec) -> None:
    old, new = with_channels(spec, [0, 3, 5]), with_channels(spec, [3, 0, 6, 7, 8, 9, 5])
    small, large = build_network(old).eval(), build_network(new).eval()
    large.load_state_dict(adapt_weights(small.state_dict(), old=old, new=new))
    value, grown = torch.randn(1, 3, 32, 32, 32), torch.randn(1, 7, 32, 32, 32)
    grown[:, [1, 0, 6]] = value
    assert torch.allclose(small(value), large(grown), atol=1e-5)
    assert isinstance(new.input.channels[3], ClickChannel)
