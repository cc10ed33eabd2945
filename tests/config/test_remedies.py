"""The remedy that a message about a word offers, taken literally, works."""

import re

import pytest

from aunet.config.composition import compose_config, resolve_config
from aunet.errors import UserError
from tests.config.test_every_option import FACTS


def message_of(*words: str) -> str:
    with pytest.raises(UserError) as raised:
        resolve_config(compose_config(list(words)), FACTS)
    return str(raised.value)


@pytest.mark.parametrize(
    "word",
    ["trainer.limit_train_batches=2", "trainer.max_steps=9", "data.shuffle=true", "trainer.callback.x=1", "zzz=1"],
)
def test_a_key_that_cannot_be_added_is_not_said_to_be(word: str) -> None:
    assert "write +" not in (message := message_of(word))
    assert "Did you mean" in message or "See docs/settings.md" in message


@pytest.mark.parametrize(
    ("group", "word"),
    [
        ("model=monai_unet", "model.network.act=RELU"),
        ("optimizer=adamw", "optimizer.factory.amsgrad=true"),
        ("loss=dice", "loss.function.jaccard=true"),
    ],
)
def test_an_argument_that_may_be_added_is_added_as_the_message_says(group: str, word: str) -> None:
    remedy = re.search(r"write (\+[\w.]+=)", message_of(group, word))
    assert remedy is not None
    resolve_config(compose_config([group, remedy[1] + word.partition("=")[2]]), FACTS)


@pytest.mark.parametrize("key", ["trainer.max_time", "trainer.patience", "data.fixes", "store_budget", "init"])
def test_a_deleted_key_is_given_null_as_the_message_says(key: str) -> None:
    message = message_of(f"~{key}")
    assert re.search(rf"null: {key}=…|{key}=null", message)
    resolve_config(compose_config([f"{key}=null"]), FACTS)


@pytest.mark.parametrize(
    ("word", "right"),
    [
        ("trainer.max_epoch=3", "trainer.max_epochs=3"),
        ("modle=unet", "model=unet"),
        ("model=atention", "model=attention"),
        ("data.patchsize=[16,16,16]", "data.patch_size=[16,16,16]"),
    ],
)
def test_the_nearest_word_is_one_that_works(word: str, right: str) -> None:
    nearest = re.search(r"Did you mean ([\w.]+)", message_of(word))
    assert nearest is not None
    assert nearest[1] in right
    resolve_config(compose_config([right]), FACTS)


@pytest.mark.parametrize(
    ("words", "section", "key", "value"),
    [
        (["loss.class_weights=[1,2,2,2]"], "loss", "class_weights", [1, 2, 2, 2]),
        (["loss.class_weights={pancreas: 3}"], "loss", "class_weights", {"pancreas": 3}),
        (["data.classes={liver: 1}"], "data", "classes", {"liver": 1}),
        (["data=nnunet", "data.classes={}"], "data", "classes", {}),
        (["trainer.callbacks=[]"], "trainer", "callbacks", []),
    ],
)
def test_lists_and_mappings_can_be_written_as_words(words: list[str], section: str, key: str, value: object) -> None:
    config = resolve_config(compose_config(words), FACTS)
    assert getattr(getattr(config, section), key) == value


def test_several_values_are_a_list_as_the_message_says() -> None:
    assert "write key=[first,second]" in message_of("data.spacing=1,2,3")
    assert resolve_config(compose_config(["data.spacing=[1,2,3]"]), FACTS).data.spacing == [1.0, 2.0, 3.0]
