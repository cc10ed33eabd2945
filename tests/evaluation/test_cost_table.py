"""The table of costs as a reader meets it."""

from aunet.evaluation.cost_table import FIELD_NOTE, UNKNOWN_FIELD_NOTE, cost_table
from aunet.networks.inspection.cost import PartCost

COSTS = [
    PartCost("encoder 1", (64, 48), 16, parameters=1234, flop=2_500_000_000, kept_bytes=3 * 2**20),
    PartCost("unused"),
    PartCost("total", (64, 48), 4, parameters=1234, flop=2_500_000_000, kept_bytes=3 * 2**20),
]


def test_units_are_giga_mebi_voxels_and_millimetres() -> None:
    table = cost_table(COSTS, {"encoder 1": (5, 14), "total": (40, None)}, spacing=(0.8, 2.0), title="T")
    (first, unused), (total,) = table.groups
    assert first == ("encoder 1", "64×48", "16", "1,234", "2.50", "3.0", "5×14", "4×28")
    assert unused == ("unused", "", "", "0", "0.00", "0.0", "", "")
    assert total[-2:] == ("40×all", "32×all")
    assert FIELD_NOTE in table.notes


def test_a_field_beyond_every_side_is_the_whole_patch() -> None:
    table = cost_table(COSTS, {"total": (None, None)}, spacing=(1.0, 1.0), title="T")
    assert table.groups[1][0][-2:] == ("whole patch", "whole patch")


def test_a_network_without_a_measurable_field_says_so() -> None:
    assert UNKNOWN_FIELD_NOTE in cost_table(COSTS, {}, spacing=(1.0, 1.0), title="T").notes
