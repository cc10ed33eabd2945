"""Dice of a recipe for a given number of steps: train on some training cases, score others of them.

OMP_NUM_THREADS=1 python experiments/benchmarks/recipe.py --steps 800 data=msd data.root=…/Task04_Hippocampus \
    data.split.test=60 data.split.val=20 data.batch_size=2

The test cases are not read. The step of a training as `aunet train` makes it, without Lightning, validation by epochs
and recording, so that only the recipe counts; the schedule covers the steps. Compare recipes by the number of patches
(steps times batch) or, on one machine, by the processor time that is printed.
"""

import argparse
import json
import time
from dataclasses import replace
from typing import Any

from aunet.process_settings import prepare_process

prepare_process()  # before torch is loaded

import torch  # noqa: E402
from hydra.utils import instantiate  # noqa: E402
from torch import nn  # noqa: E402

from aunet.build.data import build_cohort, build_splits, fill_in_facts  # noqa: E402
from aunet.build.inferer import build_inferer  # noqa: E402
from aunet.build.model import choose_hardware  # noqa: E402
from aunet.build.network import build_network  # noqa: E402
from aunet.build.preprocessing import fill_in_intensities  # noqa: E402
from aunet.build.task import build_data, build_schedule  # noqa: E402
from aunet.config.draft import compose_draft  # noqa: E402
from aunet.config.schema import RunConfig  # noqa: E402
from aunet.data.datamodule import SegmentationData  # noqa: E402
from aunet.inference.sliding_window import predict_volume  # noqa: E402
from aunet.networks.layers import channels_last, lay_out_channels_last  # noqa: E402
from aunet.networks.processor_convolutions import ProcessorConvolutions  # noqa: E402
from aunet.training.hardware import fused_where_possible  # noqa: E402
from aunet.training.validation_dice import means_by_class, score_dice  # noqa: E402


def main() -> None:
    """Train one recipe, score it, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True)
    options, overrides = parser.parse_known_args()
    settings, data = _prepare(overrides)
    network = build_network(settings)
    lay_out_channels_last(network)
    start = time.process_time()
    _train(network, settings, data, options.steps)
    seconds = time.process_time() - start
    dice = _validate(network, settings, data)
    facts = {"patch_size": settings.dataset.patch_size, "batch_size": settings.dataset.batch_size}
    mean = sum(dice) / len(dice)
    result = {"steps": options.steps, **facts, "processor_seconds": round(seconds), "dice": [mean, *dice]}
    print(json.dumps(result | {"overrides": overrides}))  # noqa: T201


def _prepare(overrides: list[str]) -> tuple[RunConfig, SegmentationData]:
    draft = compose_draft(overrides)
    cohort = build_cohort(draft.data)
    settings = fill_in_facts(draft, cohort)
    splits = build_splits(settings.data, cohort)
    settings = fill_in_intensities(settings, cohort, splits)
    data = build_data(settings, cohort, splits)
    data.setup("fit")
    return settings, data


def _train(network: nn.Module, settings: RunConfig, data: SegmentationData, steps: int) -> None:
    loss_of = instantiate(settings.loss.function)
    factory = fused_where_possible(instantiate(settings.optimizer.factory))
    optimizer = factory(network.parameters())
    rate, schedule = settings.optimizer.factory["lr"], build_schedule(settings.optimizer, settings.trainer)
    clip = settings.trainer.gradient_clip
    network.train()
    for step, batch in zip(range(steps), _batches(data), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule(step / steps)
        changed = data.augmentation(batch, settings.seed)
        with ProcessorConvolutions():
            with _autocast(settings):
                logits = network(channels_last(changed["image"]))
            loss = loss_of(logits.float(), changed["label"])
            optimizer.zero_grad()
            loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()


def _batches(data: SegmentationData) -> Any:
    while True:
        yield from data.train_dataloader()


def _validate(network: nn.Module, settings: RunConfig, data: SegmentationData) -> list[float]:
    window, scores = build_inferer(settings, network), {}
    for case in data.validation_cases():
        with _autocast(settings):
            prediction = predict_volume(network, case["image"], replace(window, window_batch=1))
        label_map = prediction.logits.argmax(0).numpy()
        scores[case["case_id"]] = score_dice(label_map, case["label"].numpy(), case["annotated"].tolist())
    return means_by_class(scores)


def _autocast(settings: RunConfig) -> torch.autocast:
    dtype = choose_hardware(settings.trainer).autocast_type
    return torch.autocast("cpu", dtype=dtype, enabled=dtype is not None)


if __name__ == "__main__":
    main()
