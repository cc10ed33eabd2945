"""The organs whose places are known are those that the phantom can take from a label map."""

from aunet.data.organ_positions import MIDDLES
from aunet.data.sources.phantom.organ_shapes import ORGANS


def test_every_organ_of_the_phantom_has_a_place_or_none() -> None:
    assert list(MIDDLES) == list(ORGANS)
