"""A configuration refers to its own keys and to nothing outside it."""

import pytest
from omegaconf import OmegaConf

from aunet.config.composition import compose_config
from aunet.config.draft import Draft
from aunet.config.interpolations import check_interpolations
from aunet.errors import UserError


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "before ${oc.env:HOME} after",
        "${ oc.env : HOME }",
        "${oc.select:${oc.env:HOME}}",
        '${oc.select:"${oc.env:HOME}"}',
        "${a.${oc.env:HOME}}",
        "${oc.${name}:HOME}",
        "${${name}:HOME}",
        "${oc.decode:'${oc.env:HOME}'}",
        "${oc.create:'{a: 1}'}",
        "${oc.deprecated:a}",
        "${hydra:runtime.cwd}",
        "${python_version:}",
        "${no_such_resolver:1}",
    ],
)
def test_a_resolver_that_reads_something_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"b\[0\]\.c: .* calls the resolver"):
        check_interpolations(OmegaConf.create({"name": "oc.env", "b": [{"c": text}]}))


def test_a_broken_interpolation_on_the_command_line_is_reported() -> None:
    with pytest.raises(UserError, match=r"model\.name"):
        compose_config(["model.name='${model.name'"])


def test_references_and_our_own_resolvers_pass() -> None:
    config = OmegaConf.create({"a": 1, "b": "${a}", "c": "${recipe_of_root:${a}}", "d": "${oc.select:a,3}"})
    check_interpolations(config)
    assert OmegaConf.to_container(config, resolve=True) == {"a": 1, "b": 1, "c": "scans", "d": 1}


def test_a_value_that_turns_into_an_interpolation_is_refused() -> None:
    config = compose_config([])
    config.model.name = r"\${oc.env:HOME}"
    with pytest.raises(UserError, match=r"model\.name: .* still holds an interpolation"):
        Draft(config)


def test_a_reference_to_nothing_is_reported_with_its_key() -> None:
    config = compose_config([])
    config.model.name = "${model.nmae}"
    with pytest.raises(UserError, match=r"model\.name: .*model\.nmae"):
        Draft(config)
