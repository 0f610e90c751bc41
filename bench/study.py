"""Studies: Optuna's journal of one search, which a kill at any moment does not spoil.

One process at a time writes a study, so what an earlier writer left half done can be mended when it
is opened: a torn last line, a lock that nobody holds, a trial that nobody runs. The next trial's
sampler is seeded by how many have ended, and looks at nothing else but those; so a study that was
killed and goes on chooses what an unbroken one chooses.

``optuna-dashboard FILE`` opens a journal.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .canonical import plain
from .space import Dimension

NAME = "search"  # of the one study in a journal
ENDED = "trial"  # the attribute that holds what came out of a trial
WAIT_SECONDS = 1.0  # between two looks whether another process still writes

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """What came out of one trial.

    Parameters
    ----------
    hyperparameters : mapping
        Those that are searched, as this trial had them.
    state : {"complete", "pruned", "failed"}
        Whether it was measured, ended early because it lagged behind, or broke.
    value : float or None
        The objective, the higher the better; None unless complete.
    metrics : mapping of str to float
        What the objective is the mean of, on the validation rows.
    reason : str
        Why it failed.
    seconds, cpu_seconds : float
        What it cost.
    """

    hyperparameters: Mapping[str, Any]
    state: State
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Study:
    """The trials of one search.

    Parameters
    ----------
    path : Path
        The journal.
    space : mapping of str to Dimension
        What is searched.
    defaults : mapping
        The values that the first trial has.
    seed_of : callable
        Returns the seed with which the trial after so many is chosen.
    """

    def __init__(
        self,
        path: Path,
        space: Mapping[str, Dimension],
        defaults: Mapping[str, Any],
        seed_of: Callable[[int], int],
    ) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._defaults, self._seed_of = space, defaults, seed_of
        mend(path)
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=NAME,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(),
            load_if_exists=True,
        )
        self._asked: Any = None
        self.abandon()

    @property
    def ended(self) -> list[Trial]:
        """The trials that came to an end, in order."""
        trials = self._study.get_trials(deepcopy=False)
        return [Trial(**t.user_attrs[ENDED]) for t in trials if ENDED in t.user_attrs]

    def ask(self) -> dict[str, Any]:
        """Begin a trial and return its hyperparameters; the first has the defaults."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        done = len(self.ended)
        self._study.sampler = TPESampler(seed=self._seed_of(done), constant_liar=False)
        if not done and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(
                {name: d.encode(self._defaults[name]) for name, d in self._space.items()}
            )
        self._asked = self._study.ask({n: d.distribution() for n, d in self._space.items()})
        return {name: d.decode(self._asked.params[name]) for name, d in self._space.items()}

    def lags(self, rung: int, value: float) -> bool:
        """Note what the trial that was asked for has reached, and say whether to end it."""
        self._asked.report(value, rung)
        return self._asked.should_prune()

    def tell(self, trial: Trial) -> None:
        """End the trial that was asked for."""
        self._asked.set_user_attr(ENDED, plain(asdict(trial)))
        self._end(self._asked.number, trial)

    def _end(self, number: int, trial: Trial | None) -> None:
        from optuna.trial import TrialState

        states = {
            "complete": TrialState.COMPLETE,
            "pruned": TrialState.PRUNED,
            "failed": TrialState.FAIL,
        }
        value = trial.value if trial and trial.state == "complete" else None
        self._study.tell(number, value, states[trial.state if trial else "failed"])

    def abandon(self) -> None:
        """End the trials that nobody runs any more, those of which there is a result with that."""
        from optuna.trial import TrialState

        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for left in running:
            kept = left.user_attrs.get(ENDED)
            self._end(left.number, Trial(**kept) if kept else None)


def summary(found: Mapping[str, Any], cost: Mapping[str, float]) -> str:
    """Say in a line what a search that has ended found, and what it cost."""
    states = Counter(trial["state"] for trial in found["trials"])
    others = "".join(f", {states[s]} {s}" for s in ("pruned", "failed") if states[s])
    best, default = (
        "–" if found[kind] is None else f"{found[kind]:.4f}" for kind in ("best", "default")
    )
    return (
        f"objective {best}, with defaults {default}; {len(found['trials'])} trials{others} "
        f"in {cost['tuning_seconds']:.0f} s"
    )


def mend(path: Path) -> None:
    """Make a journal readable that its writer was killed in; there must be no other writer.

    What cannot be read, and all that was written after it, is cut off.
    """
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    lines = path.read_bytes().splitlines(keepends=True)
    whole = 0
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(entry, dict):
            break
        whole += len(line)
    if whole < sum(map(len, lines)):
        with open(path, "r+b") as file:
            file.truncate(whole)


@contextlib.contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Wait until no other living process writes the journal; the system ends a dead one's claim."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(WAIT_SECONDS)
        yield
