"""A search on this machine: trials are watched while they run, and a repeated command continues."""

import json
import signal
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, Trial, TrialState
from sweeps.jobs import make_job, run_programs
from sweeps.test_local_queue import WAIT_FOR_STOP, interrupt_when_ready

from aunet.errors import UserError
from aunet.sweeps.job import Job
from aunet.sweeps.local_search import LocalSearch
from aunet.sweeps.search_space import read_search_space
from aunet.sweeps.study import Study

TRAIN = """
(folder / 'metrics.csv').write_text('epoch,val/dice\\n0,0.1\\n1,{dice}\\n')
(folder / 'run.json').write_text(json.dumps({{'status': 'finished'}}))
"""
STALL = """
def stop(number, frame):
    (folder / 'run.json').write_text(json.dumps({'status': 'interrupted'}))
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
(folder / 'metrics.csv').write_text('epoch,val/dice\\n' + ''.join(f'{epoch},0.01\\n' for epoch in range(4)))
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    run_programs(monkeypatch)


def study_in(folder: Path) -> Study:
    return Study(folder, read_search_space(["seed=int(interval(0,1000))"]), seed=0, max_epochs=10)


def folder_of(study_folder: Path, trial: Trial | FrozenTrial) -> Path:
    return study_folder / f"trial_{trial.number:03d}"


def test_trials_run_until_there_are_as_many_as_asked_for(tmp_path: Path) -> None:
    study = study_in(tmp_path)

    def job(trial: Trial) -> Job:
        if trial.number == 1:
            raise UserError("these settings do not go together")
        return make_job(folder_of(tmp_path, trial), TRAIN.format(dice=trial.params["seed"] / 1000))

    LocalSearch(study, 4, 2, job).run()

    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert study.best is not None
    assert study.best.params["seed"] == max(trial.params["seed"] for trial in study.trials if trial.value is not None)


@pytest.mark.slow
def test_a_trial_that_does_worse_than_the_others_is_stopped(tmp_path: Path) -> None:
    study = study_in(tmp_path)

    def job(trial: Trial) -> Job:
        good = "(folder / 'metrics.csv').write_text('epoch,val/dice\\n' + ''.join(f'{e},0.9\\n' for e in range(10)))\n"
        finish = "time.sleep(2.5)\n(folder / 'run.json').write_text(json.dumps({'status': 'finished'}))"
        return make_job(folder_of(tmp_path, trial), STALL if trial.number == 5 else good + finish)

    LocalSearch(study, 6, 5, job).run()

    assert [trial.state for trial in study.trials] == [*[TrialState.COMPLETE] * 5, TrialState.PRUNED]
    assert json.loads((tmp_path / "trial_005" / "run.json").read_text())["status"] == "pruned"


def test_a_search_that_was_stopped_continues_with_its_trials(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    started: list[Job] = []

    def stalling(trial: Trial) -> Job:
        started.append(make_job(folder_of(tmp_path, trial), WAIT_FOR_STOP))
        return started[-1]

    first = make_job(folder_of(tmp_path, study.next_trial()), WAIT_FOR_STOP)
    thread = interrupt_when_ready([first], signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        LocalSearch(study, 2, 1, stalling).run()
    thread.join()
    assert study.trials[0].state == TrialState.RUNNING

    again = study_in(tmp_path)
    LocalSearch(again, 2, 1, lambda trial: make_job(folder_of(tmp_path, trial), TRAIN.format(dice=0.5))).run()

    assert [trial.state for trial in again.trials] == [TrialState.COMPLETE] * 2
    assert again.trials[0].params == study.trials[0].params
