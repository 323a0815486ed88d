"""Both segmenters are what the interface says, down to the names, order and defaults of parameters."""

import inspect

import pytest

from inference.interface import VOSSegmenter
from inference.segmenter import Segmenter
from inference.twoframe_segmenter import TwoFrameSegmenter

PUBLIC = sorted(name for name in vars(VOSSegmenter) if not name.startswith("_"))
both = pytest.mark.parametrize("segmenter", [Segmenter, TwoFrameSegmenter])


def test_the_interface_is_that_of_the_documents() -> None:
    assert {"step", "reset", "to_id_mask", "remove_objects", "object_ids"} <= set(PUBLIC)


@both
@pytest.mark.parametrize("name", PUBLIC)
def test_members_have_the_same_parameters(segmenter: type, name: str) -> None:
    expected, received = vars(VOSSegmenter)[name], inspect.getattr_static(segmenter, name)
    assert type(received) is type(expected), "a property or a method"
    if inspect.isfunction(expected):
        wanted, had = inspect.signature(expected), inspect.signature(received)
        assert [(p.name, p.kind, p.default) for p in had.parameters.values()] == [
            (p.name, p.kind, p.default) for p in wanted.parameters.values()
        ]


@both
def test_nothing_public_is_beside_the_interface(segmenter: type) -> None:
    """What one of them alone offers, programs must not come to rely on."""
    own = {name for name in vars(segmenter) if not name.startswith("_")}
    assert own <= {*PUBLIC, *VOSSegmenter.__annotations__}
