"""An Optuna study on disk that maximises the validation Dice; each trial is a run in a folder of its own."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from aunet.errors import UserError
from aunet.runs.run_state import RunState
from aunet.sweeps.search_space import SearchSpace

_JOURNAL = "study.journal"
_STARTUP_TRIALS = 5
_KEPT_SHARE = 5


class Study:
    """A study that chooses the settings of the next trial, judges running trials and stores all results.

    The choice is a function of the seed, the trial's number and the results so far. A trial is given up if, after a
    fifth of the epochs, its best Dice so far lies below the median of the earlier trials at that epoch.

    Args:
        folder: holds the study's file.
        space: the choices.
        seed: of the choices.
        max_epochs: of a trial.
    """

    def __init__(self, folder: Path, space: SearchSpace, seed: int, max_epochs: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self._space, self._seed = space, seed
        self._study = optuna.create_study(
            study_name=folder.name,
            storage=JournalStorage(JournalFileBackend(str(folder / _JOURNAL))),
            pruner=MedianPruner(n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=max_epochs // _KEPT_SHARE),
            direction="maximize",
            load_if_exists=True,
        )
        self._check_space(folder)
        self._failed_before = {trial.number for trial in self.trials if trial.state == TrialState.FAIL}

    @property
    def trials(self) -> list[FrozenTrial]:
        """Return all trials so far."""
        return self._study.get_trials(deepcopy=False)

    @property
    def count(self) -> int:
        """Return the number of trials so far, without those that failed under an earlier command, to replace them."""
        return len(self.trials) - len(self._failed_before)

    @property
    def best(self) -> FrozenTrial | None:
        """Return the trial with the best validation Dice; None if none has completed."""
        ended = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return max(ended, key=lambda trial: trial.value or 0.0, default=None)

    def begun(self) -> list[Trial]:
        """Return the trials that an earlier command began and did not end."""
        running = [trial for trial in self.trials if trial.state == TrialState.RUNNING]
        # Optuna has no public way to resume a trial by its number.
        return [Trial(self._study, trial._trial_id) for trial in running]  # pyright: ignore[reportPrivateUsage]

    def next_trial(self) -> Trial:
        """Return a new trial with its settings chosen."""
        self._study.sampler = TPESampler(seed=self._seed + len(self.trials))
        return self._study.ask(dict(self._space.choices))

    def words(self, trial: Trial | FrozenTrial) -> list[str]:
        """Return the overrides of a trial."""
        return self._space.words(trial.params)

    def is_to_be_given_up(self, trial: Trial, state: RunState) -> bool:
        """Report the validation Dice of the epochs so far, and return whether to give the trial up.

        Epochs without a defined Dice are left out: Optuna would prune a trial of which all values so far are NaN.
        """
        known = self.trials[trial.number].intermediate_values
        for epoch, dice in enumerate(state.validation_dice):
            if epoch not in known and not math.isnan(dice):
                trial.report(dice, epoch)
        return len(state.validation_dice) != state.max_epochs and trial.should_prune()

    def end(self, trial: Trial, state: RunState) -> None:
        """Record how a trial ended; an interrupted one stays open."""
        if state.status == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
        elif state.status == "finished" and state.best_dice is not None:
            self._study.tell(trial, state.best_dice)
        elif state.status not in ("interrupted", "running"):
            self.fail(trial)

    def fail(self, trial: Trial) -> None:
        """Record that a trial failed."""
        self._study.tell(trial, state=TrialState.FAIL)

    def _check_space(self, folder: Path) -> None:
        """Raise UserError if the study has trials of another space."""
        now = json.dumps([sorted(self._space.fixed), sorted(_told(self._space))])
        before = self._study.user_attrs.get("space", now)
        if before != now:
            raise UserError(
                f"{folder}: holds a search with other settings ({before}). Repeat those, or give this one a folder of"
                " its own: hydra.job.name=another_name."
            )
        self._study.set_user_attr("space", now)


def _told(space: SearchSpace) -> Sequence[str]:
    return [f"{key}: {distribution}" for key, distribution in space.choices.items()]
