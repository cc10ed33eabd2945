"""The weights that a run starts from: which of them fit, and whether they have seen its test cases."""

from dataclasses import replace

from torch import nn

from aunet.build.network import build_network
from aunet.build.preprocessing import build_digests
from aunet.config.schema import DataConfig, RunConfig
from aunet.config.words import path_of
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.split_file import image_digests
from aunet.data.cohort.splits import Splits
from aunet.training.init_overlap import Key, Start
from aunet.training.transfer import Transfer, find_class_blocks, read_weights, transfer_weights
from aunet.training.weight_lineage import CaseNames, data_folder

# Arguments by which networks receive their number of classes.
_CLASS_ARGUMENTS = frozenset({"num_classes", "out_channels"})


def load_start_weights(config: RunConfig, init: str, network: nn.Module) -> Transfer:
    """Load the weights that ``init`` names into ``network``, as far as they fit."""
    arguments, num_classes = config.model.network, config.dataset.num_classes
    one_more = {key: num_classes + 1 for key in _CLASS_ARGUMENTS & arguments.keys() if arguments[key] == num_classes}
    with_one_more = build_network(replace(config, model=replace(config.model, network={**arguments, **one_more})))
    blocks = find_class_blocks(network, with_one_more, num_classes)
    return transfer_weights(network, read_weights(path_of(init)), config.dataset.labels.outputs, blocks)


def build_start(data: DataConfig, source: str, cohort: Cohort, splits: Splits, key: Key = "init") -> Start:
    """Return the weights that ``key=source`` names, with what identifies the cases of this run."""
    digests = image_digests(cohort.cases, build_digests(data))
    root = None if data.root is None else data_folder(data.root)
    names = CaseNames.of_cases(cohort.cases, digests, root, cohort.is_phantom)
    return Start(path_of(source), splits, names, has_fold=data.fold is not None, key=key)


def build_test_start(data: DataConfig, source: str, cohort: Cohort, splits: Splits, key: Key = "init") -> Start:
    """Return ``build_start`` with what identifies the test cases: those of ``data.test_on`` by their own names."""
    if (other := cohort.other) is None:
        return build_start(data, source, cohort, splits, key)
    names = CaseNames.of_cases(
        other.cases,
        image_digests(other.cases, build_digests(data)),
        None if other.root is None else data_folder(str(other.root)),
        other.is_phantom,
    )
    tested = Splits(train=(), val=(), test=tuple(case.case_id for case in other.cases))
    return Start(path_of(source), tested, names, key=key, is_foreign=True)
