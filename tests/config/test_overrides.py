"""A mistake on the command line ends in one message that names it and what was meant."""

import pytest

from aunet.config.composition import compose_config, split_sweep
from aunet.config.draft import Draft
from aunet.errors import UserError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modle=attention", "Did you mean model?"),
        ("model=atention", "Did you mean attention?"),
        ("model=null", "has no option null"),
        ("trainer=fast", "Its options are ddp, default, long, lr_find, overfit, profile, smoke"),
        ("trainer.max_epoch=3", "Did you mean trainer.max_epochs?"),
        ("optimizer.lr=1", "Did you mean optimizer.factory.lr?"),
        ("model.batch_size=1", "Did you mean data.batch_size?"),
        ("data.classes=[a,b]", "data.classes must be keys with values such as {name: 1} or null"),
        ("+model.network.dropout=0.5", "Write model.network.dropout=… without the +"),
        ("data.spacing=[8,{a: 1},8]", "data.spacing must be a list in brackets, each a number or null"),
        ("data.patch_size=[16,[16],16]", "data.patch_size must be a list in brackets, each a whole number"),
        ("logger.tags={a: b}", "logger.tags must be a list in brackets, each text"),
        ("trusted_modules=[[a]]", "trusted_modules must be a list in brackets, each text"),
        ("data.target_regions=[1]", "data.target_regions must be keys with values such as {name: 1}"),
        ("data.split=[1]", "data.split must be a group of keys"),
        ("data.split.val=1e400", "data.split.val=inf: it must be a share above 0 and below 1, or a whole number"),
        ("data.test_on='${nothing}'", "data.test_on"),
        ("seed='${nothing}'", "seed: Interpolation key 'nothing' not found. Give the key it refers to a value"),
        ("data.modality=[{a: 1}]", "data.modality=[{'a': 1}]: it must be one of ct"),
        ("data.classes={spleen: '???'}", "data.classes.spleen has no value"),
        ("trainer.callbacks=[{_target_: a.b, c: ['???']}]", "trainer.callbacks[0].c[0] has no value"),
        ("data.classes={1: spleen}", "data.classes: 1 is not a name. Write names first"),
        ("data.classes={a: 1, b: 2, a: 3}", "repeats the key a"),
        ("data.classes={a b:1,a b :2}", "repeats the key a b"),
        ("+loss.factory.extra={a: 1, b: {c: 1, c: 1}}", "repeats the key c"),
        ("/", "Write data.root=/ beside data=NAME"),
        ("max_epochs=3", "Did you mean data.max_epochs or trainer.max_epochs?"),
        ("trainer.max_epochs=fast", "trainer.max_epochs must be a whole number"),
        ("trainer.max_epochs=1.5", "must be a whole number"),
        ("trainer.max_epochs=0", "must be at least 1"),
        ("trainer.max_time=10", "days:hours:minutes:seconds"),
        ("trainer.max_time=00:00:00:00", "above 0"),
        ("trainer.precision=fp64", "one of auto, float32, bf16, fp16"),
        ("trainer.channels_last=maybe", "one of auto, true, false"),
        ("trainer.gradient_clip=big", "a number or null"),
        ("inference.overlap=1.0", "at least 0 and below 1"),
        ("data.patch_size=[16,wide,16]", "a list in brackets, each a whole number"),
        ("data.patch_size=16", "a list in brackets"),
        ("data.spacing=[1,1,0]", "above 0"),
        ("data.num_workers=many", "auto or not negative"),
        ("seed=null", "seed must be a whole number"),
        ("seed=-1", "from 0 to 4294967295"),
        ("seed=99999999999999999999", "from 0 to 4294967295"),
        ("data.split.seed=4294967296", "from 0 to 4294967295"),
        ("trainer.devices=-1", "auto, or a number from 1 on"),
        ("trainer.devices=two", "auto, or a number from 1 on"),
        ("loss=[]", "Choose one: loss=dice or"),
        ("~loss", "Choose one: loss=dice or"),
        ("logger=[]", "Choose one: logger=csv or"),
        ("~logger", "Choose one: logger=csv or"),
        ("~model/gate", "Choose one: model/gate=additive or"),
        ("~data/augmentation", "Choose one: data/augmentation=light or"),
        ("data.root=", "the path is empty"),
        ("data.cache=''", "the path is empty"),
        ("hydra.run.dir= ", "the path is empty"),
        ("init=", "init=null for none"),
        ("data.cache=$HOME/x", "$HOME was not replaced by its value"),
        ("data.cache='$HOME/x'", "Use double quotes, or write the whole path"),
        ("data.root=/scans/$USER", "$USER was not replaced"),
        ("model.name=../x", "the name of a folder"),
        ("model.name=a/b", "the name of a folder"),
        ("data.name=..", "the name of a folder"),
        ("data.name=''", "the name of a folder"),
        ("trainer.name='${data.name}/a'", "the name of a folder"),
        ("loss.name='a\\b'", "the name of a folder"),
        (f"optimizer.name={'a' * 101}", "1 to 100 bytes"),
        ("~seed", "seed has no value"),
        ("~sed", "Did you mean seed?"),
        ("+sed=1", "Did you mean seed?"),
        ("model.network.chanels=[8]", "Did you mean model.network.channels?"),
        ("+model.network.droput=0.1", "has no argument 'droput'"),
        ("hydra.rn.dir=elsewhere", "Did you mean hydra.run.dir?"),
        ("model=unet,attention", "Add -m"),
        ("logger.group=a=b", "quotes"),
        ("seed", "Write key=value"),
        ("=3", "names no key"),
        ("--multirn", "Write key=value"),
    ],
)
def test_the_message_names_the_override_and_the_remedy(override: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        Draft(compose_config([override]))
    told = str(raised.value)
    assert message in told
    assert override.lstrip("~+").partition("=")[0] in told
    assert "\n" not in told


@pytest.mark.parametrize("sweep", ["attention_gate_per_class", "unet,attention_gate_per_class"])
def test_the_former_name_of_an_option_still_chooses_it_with_a_line_that_says_so(
    sweep: str, caplog: pytest.LogCaptureFixture
) -> None:
    [*_, job] = split_sweep([f"model={sweep}"])
    assert caplog.messages == [
        "model=attention_gate_per_class is now called attention_multidimensional, as it ties no gate to a class."
    ]
    assert compose_config(job).model.name == "attention_multidimensional"


def test_overrides_reach_their_keys_with_their_types() -> None:
    config = compose_config(["trainer.max_epochs=3", "data.root='/my scans/a=b'", "hydra.run.dir=elsewhere"])
    assert config.trainer.max_epochs == 3
    assert config.data.root == "/my scans/a=b"
    assert config.hydra.run.dir == "elsewhere"


def test_the_runs_folder_follows_data_and_model() -> None:
    assert compose_config(["model=unet"]).hydra.run.dir.startswith("outputs/ct150/unet/")


def test_an_argument_that_no_yaml_lists_can_be_added() -> None:
    config = compose_config(["model=monai_unet", "+model.network.dropout=0.1"])
    Draft(config)
    assert config.model.network.dropout == 0.1


def test_a_sweep_gives_one_list_of_overrides_a_job() -> None:
    assert split_sweep(["model=unet,attention", "trainer=smoke", "seed=range(0,2)"]) == [
        ["model=unet", "trainer=smoke", "seed=0"],
        ["model=unet", "trainer=smoke", "seed=1"],
        ["model=attention", "trainer=smoke", "seed=0"],
        ["model=attention", "trainer=smoke", "seed=1"],
    ]


def test_no_sweep_is_one_job() -> None:
    assert split_sweep(["seed=1", "~resume"]) == [["seed=1", "~resume"]]


def test_one_key_in_mappings_of_their_own_does_not_count_as_repeated() -> None:
    words = ["data.classes={a: 1},{a: 2}", "+loss.factory.extra=[{a: 1},{a: {a: 1}}]"]
    assert len(split_sweep(words)) == 2


def test_lists_and_quoted_commas_are_one_value() -> None:
    assert split_sweep(["data.spacing=[1,1,1]", "data.root='a,b'"]) == [["data.spacing=[1,1,1]", "data.root='a,b'"]]


def test_glob_takes_the_options_of_a_group() -> None:
    jobs = split_sweep(["model=glob(unet_*m)"])
    assert jobs == [["model=unet_10m"], ["model=unet_6m"]]


@pytest.mark.parametrize("override", ["model=glob(nothing*)", "seed=interval(0,1)"])
def test_a_sweep_without_jobs_is_reported(override: str) -> None:
    with pytest.raises(UserError, match="sweep"):
        split_sweep([override])
