"""Search spaces are written as Hydra writes sweeps."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from aunet.errors import UserError
from aunet.sweeps.search_space import read_search_space


def test_each_form_of_a_sweep_becomes_what_optuna_chooses_from() -> None:
    space = read_search_space(
        [
            "model=unet,attention",
            "optimizer.factory.lr=tag(log,interval(1e-4,1e-2))",
            "data.batch_size=range(2,9,2)",
            "seed=int(interval(0,5))",
            "+model.network.dropout=choice(0,0.5)",
            "trainer=smoke",
        ]
    )
    assert space.fixed == ("trainer=smoke",)
    assert space.choices == {
        "model": CategoricalDistribution(["unet", "attention"]),
        "optimizer.factory.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "data.batch_size": IntDistribution(2, 8, step=2),
        "seed": IntDistribution(0, 5),
        "+model.network.dropout": CategoricalDistribution(["0", "0.5"]),
    }


def test_the_words_of_a_trial_are_overrides_again() -> None:
    space = read_search_space(["seed=1", "model=glob(unet_*m)", "model.network.channels=[4,8],[8,16]"])
    assert space.words({"model": "unet_6m", "model.network.channels": "[8,16]"}) == [
        "seed=1",
        "model=unet_6m",
        "model.network.channels=[8,16]",
    ]


def test_every_option_and_both_ends_are_in_the_corners() -> None:
    corners = read_search_space(["model=a,b,c", "seed=int(interval(1,9))", "x=1"]).corners()
    assert corners == [["x=1", "model=a", "seed=1"], ["x=1", "model=b", "seed=9"], ["x=1", "model=c", "seed=9"]]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1", "nothing to search"),
        ("optimizer.factory.lr=interval(1,0)", "lower end first"),
        ("optimizer.factory.lr=tag(log,interval(0,1))", "above 0"),
        ("seed=range(3,3)", "empty"),
    ],
)
def test_a_space_that_cannot_be_searched_is_reported(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_search_space([override])
