"""The training step, the validation of whole cases and the optimizer, which Lightning's trainer repeats."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from monai.losses.ds_loss import DeepSupervisionLoss
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from aunet.classes import IGNORED, Labels
from aunet.data.datamodule import WholeCase
from aunet.data.keyed_randomness import network_seed
from aunet.data.patches.augmentation import Augmentation
from aunet.data.patches.sampling import Batch
from aunet.inference.coefficients import LevelCoefficients
from aunet.inference.inferers import Inferer
from aunet.inference.sliding_window import VolumePrediction, predict_volume
from aunet.losses.ignored_voxels import hide_ignored, without_ignored
from aunet.losses.marginal_logits import annotated_label, marginal_logits
from aunet.losses.protocols import is_over_batch
from aunet.networks.layers import channels_last, lay_out_channels_last
from aunet.networks.processor_convolutions import ProcessorConvolutions
from aunet.networks.protocols import supervised_logits
from aunet.runs.ranks import any_rank, gathered, num_ranks, rank, share_buffers, whole_batch
from aunet.targets import Problem, target_of
from aunet.training.compilation import Forward, compiled
from aunet.training.nonfinite_loss import NonFiniteLossError, copy_buffers, names_of_cases, restore_buffers
from aunet.training.score_function import expected_loss
from aunet.training.sharding import ShardedForward
from aunet.training.validation_dice import CaseDice, defined_mean, means_by_class, score_dice
from aunet.training.validation_pace import is_validated

_log = logging.getLogger(__name__)


class SegmentationTask(LightningModule):
    """Training of any network with ``forward(image) -> logits``.

    A ``SupervisedNetwork`` has a loss for each of its outputs; the total is their weighted mean, each level weighing
    half of the one before. A network with drawn gates is trained by the score function.

    Args:
        network: (B, C, *spatial) -> logits (B, K, *spatial).
        loss: (logits, label (B, 1, *spatial)) -> scalar; computed in float32, of regions for each on its own.
        labels: the classes, which give the K channels of the logits their meaning.
        optimizer: parameters -> optimizer.
        schedule: share of the training done -> share of the learning rate.
        progress: optimizer steps -> share of the training done.
        inferer: of the validation.
        augmentation: random changes of the training batches.
        seed: of the augmentation.
        is_channels_last: memory format of network and batches.
        autocast_type: type in which validation computes; None for float32. The trainer sets it for the training.
        is_nonfinite_skipped: skip a step whose loss is NaN or infinite instead of ending the run.
        is_sharded: shard weights, gradients and optimizer state among the ranks.
        level_reduction: "mean" of the supervised levels' losses, whose scale is that of one level, or their weighted
            "sum", up to twice as large.
        region_weights: factors of the losses of regions in their mean; equal ones by default.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labels: Labels,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        schedule: Callable[[float], float],
        progress: Callable[[int], float],
        inferer: Inferer,
        augmentation: Augmentation,
        seed: int,
        is_channels_last: bool,
        autocast_type: torch.dtype | None = None,
        is_nonfinite_skipped: bool = False,
        is_sharded: bool = False,
        level_reduction: str = "mean",
        region_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if is_channels_last:
            lay_out_channels_last(network)
        self.network = network
        self.labels = labels
        self.target = target_of(labels)
        self._region_weights = region_weights
        self._is_loss_of_batch = is_over_batch(loss)
        self._loss = DeepSupervisionLoss(cast(Any, loss), weight_mode="exp")  # a lone level weighs 1
        self._is_level_mean = level_reduction == "mean"
        self.new_optimizer = optimizer
        self.schedule = schedule
        self._progress = progress
        self.inferer = inferer
        self.augmentation = augmentation
        self._seed = seed
        self._is_channels_last = is_channels_last
        self._autocast_type = autocast_type
        self._forward: Forward = partial(supervised_logits, network)
        self.is_compiled = False
        self._is_nonfinite_skipped = is_nonfinite_skipped
        self.is_sharded = is_sharded
        self._sharded: tuple[ShardedForward, ...] = ()
        self._loss_sum, self._num_losses = 0.0, 0
        self._case_dice: dict[str, CaseDice] = {}
        self._watched_cases: frozenset[str] = frozenset()
        self._watched: dict[str, Mapping[int, LevelCoefficients]] = {}

    def compile_forward(self, image_size: Sequence[int]) -> bool:
        """Compile a training step's forward pass for images (B, C, *spatial), and return whether that succeeded."""
        image = torch.zeros(*image_size, device=self.device)
        image = channels_last(image) if self._is_channels_last else image
        with ProcessorConvolutions():
            function = compiled(self.network, self._forward, image, self._autocast_type)
        self._forward = function or self._forward
        self.is_compiled = function is not None
        return self.is_compiled

    def configure_model(self) -> None:
        """Shard the network among the ranks if requested; Lightning calls this once they have met."""
        if self.is_sharded and self.device_mesh is not None and not self._sharded:
            self._sharded = (ShardedForward(supervised_logits, self.network, self.device_mesh["data_parallel"]),)
            self._forward = self.sharded_forward.__call__

    @property
    def sharded_forward(self) -> ShardedForward:
        """Return the module that shards the network; it is not a submodule, as this one has the network itself."""
        return self._sharded[0]

    def configure_optimizers(self) -> Optimizer:
        """Return the optimizer; its learning rate is set before each step."""
        optimizer = self.new_optimizer(self.network.parameters())
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate of this step, and the seed of the network's own random draws."""
        torch.manual_seed(network_seed(self._seed, self.trainer.current_epoch, batch_idx, rank()))
        share = self.schedule(self._progress(self.trainer.global_step))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * share

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Return the loss of one augmented batch; None to skip it."""
        buffers = copy_buffers(self.network) if self._is_nonfinite_skipped else []
        loss = self._loss_of_batch(batch, self.augmentation)
        if any_rank(not bool(loss.detach().isfinite())):
            return self._skip(batch, buffers)
        self._loss_sum += float(loss.detach())
        self._num_losses += 1
        self.log("train/loss_step", loss.detach(), logger=False)
        return loss

    def _skip(self, batch: Batch, buffers: Sequence[Tensor]) -> None:
        """Skip the step with a warning after a non-finite loss, or raise if that is not allowed or not possible."""
        if not self._is_nonfinite_skipped or num_ranks() > 1:
            raise NonFiniteLossError(self.trainer.global_step, batch)
        restore_buffers(self.network, buffers)
        step, names = self.trainer.global_step, names_of_cases(batch)
        _log.warning("The loss of step %d (%s) is not finite: skipped.", step, names)

    def backward(self, loss: Tensor, *args: object, **kwargs: object) -> None:
        """Run the backward pass, in which some levels may recompute their activations."""
        with ProcessorConvolutions():
            super().backward(loss, *args, **kwargs)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradient norm, also before a fused step in bf16, which Lightning mistakes for one that scales."""
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def validation_step(self, case: WholeCase, batch_idx: int) -> None:
        """Score one whole case; do nothing if this rank has fewer cases than another."""
        if not case:
            return
        case_id = case["case_id"]
        prediction = self.predict_case(case["image"], with_attention=case_id in self._watched_cases)
        if case_id in self._watched_cases:
            self._watched[case_id] = prediction.coefficients  # without the logits, which take far more memory
        label_map, reference = self.target.label_map(prediction.logits).numpy(), case["label"].cpu().numpy()
        self._case_dice[case_id] = score_dice(label_map, reference, case["annotated"].tolist(), self.labels)

    def on_validation_epoch_start(self) -> None:
        """Copy rank 0's running statistics, so that every rank validates the state that a checkpoint would hold."""
        self._watched.clear()
        share_buffers(self.network)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the epoch.

        ``val/dice/<class>``: mean over the cases, undefined for a class that no validation reference has;
        ``val/dice``: mean of the defined classes; ``train/loss``: mean over the steps; ``learning_rate``: that of the
        last step. They are logged here because callbacks read them at the epoch's end.
        """
        by_class = means_by_class({key: scores for part in gathered(self._case_dice) for key, scores in part.items()})
        for (_, name), value in zip(self.labels.foreground, by_class, strict=True):
            self.log(f"val/dice/{name}", value)
        self.log("val/dice", defined_mean(by_class))
        self._case_dice.clear()
        self._log_training()

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Log the training of an epoch that is not validated."""
        if self.trainer.is_last_batch and not is_validated(self.trainer):
            self._log_training()

    def _log_training(self) -> None:
        """Log the mean loss of the epoch, NaN if every step was skipped, and the learning rate of its last step."""
        loss = _mean_over_ranks(self._loss_sum) / (self._num_losses or math.nan)
        values = {"train/loss": loss, "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"]}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=1)
        self._loss_sum, self._num_losses = 0.0, 0

    def watch(self, case_ids: Iterable[str]) -> None:
        """Keep the coefficients of these cases when they are validated, until the next validation."""
        self._watched_cases = frozenset(case_ids)

    def watched_coefficients(self, case_id: str, image: Tensor) -> Mapping[int, LevelCoefficients]:
        """Return the coefficients of a case by level: those of the validation, if this rank validated it."""
        if case_id in self._watched:
            return self._watched.pop(case_id)
        return self.predict_case(image, with_attention=True).coefficients

    def predict_case(self, image: Tensor, with_attention: bool = False) -> VolumePrediction:
        """Return the logits of a whole case (C, *spatial), and its coefficients if requested."""
        with self.autocast():
            return predict_volume(self.network, image.to(self.device), self.inferer, with_attention=with_attention)

    def autocast(self) -> torch.autocast:
        """Return the context of the training's precision, for computations outside the trainer."""
        return torch.autocast(self.device.type, dtype=self._autocast_type, enabled=self._autocast_type is not None)

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Save the loss sums of an unfinished epoch; every rank calls this."""
        checkpoint["loss_sums"] = [_mean_over_ranks(self._loss_sum), self._num_losses]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the loss sums of an unfinished epoch."""
        self._loss_sum, self._num_losses = checkpoint["loss_sums"]

    def trial_step(self, batch: Batch, augmentation: Callable[[Batch, int], Batch]) -> None:
        """Run a step's forward and backward pass in the training's precision without a trainer, to time them.

        Running statistics, gradients and the state of random numbers change.
        """
        with self.autocast():
            loss = self._loss_of_batch(batch, augmentation)
        self.backward(loss)

    def _loss_of_batch(self, batch: Batch, augmentation: Callable[[Batch, int], Batch]) -> Tensor:
        """Augment one batch and return its loss."""
        with torch.autocast(self.device.type, enabled=False):
            augmented = augmentation(batch, self._seed)
        image = channels_last(augmented["image"]) if self._is_channels_last else augmented["image"]
        label, annotated = augmented["label"], augmented.get("annotated")
        return expected_loss(self.network, lambda: self._loss_of(image, label, annotated))

    def _loss_of(self, image: Tensor, label: Tensor, annotated: Tensor | None) -> Tensor:
        """Run one forward pass and return its loss, over the levels that have one.

        ``annotated`` (B, K) marks the classes that each label annotates; nothing is learned about the others, nor from
        voxels that the label ignores.
        """
        with ProcessorConvolutions():
            logits = self._forward(image)
        with torch.autocast(self.device.type, enabled=False):
            problems = self.target.problems([level.float() for level in logits], label, annotated)
            losses = [self._loss_of_problem(problem) for problem in problems]
            if self._region_weights is not None:
                losses = [weight * loss for weight, loss in zip(self._region_weights, losses, strict=True)]
            return torch.stack(losses).mean() if len(losses) > 1 else losses[0]

    def _loss_of_problem(self, problem: Problem) -> Tensor:
        """Return the loss of all supervised levels."""
        levels, label = problem.levels, problem.label
        if problem.annotated is not None:
            levels = [marginal_logits(level, problem.annotated) for level in levels]
            label = annotated_label(label, problem.annotated)
        if (label == IGNORED).any():
            levels, label = [hide_ignored(level, label) for level in levels], without_ignored(label)
        if self._is_loss_of_batch:
            levels, label = [whole_batch(level) for level in levels], whole_batch(label)
        total = self._loss(list(levels), label)
        return total / sum(self._loss.get_weights(len(levels))) if self._is_level_mean else total


def _mean_over_ranks(value: float) -> float:
    return sum(gathered(value)) / num_ranks()
