"""Studies: Optuna's journal of one search, which a kill at any moment does not spoil.

Every lock here is one that the system drops with its holder (open file description locks, fcntl(2),
which network file systems know as well), on a place beyond the journal's end: a line that is
written, a trial that begins or ends, a trial that runs. So what a killed process left half done can
be told and mended: a torn last line is cut off before the next is written, and a trial that nobody
holds is ended. The sampler of a trial is seeded by how many there are and looks at nothing else but
those; so a study of one process that was killed and goes on chooses what an unbroken one chooses.

``optuna-dashboard FILE`` opens a journal.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..canonical import plain
from .space import Dimension

NAME = "search"  # of the one study in a journal
ENDED = "trial"  # the attribute that holds what came out of a trial
WAIT_SECONDS = 1.0  # between two looks whether others have ended the last trials
POLL_SECONDS = 0.01  # between two looks at a place that another process holds
PLACES = 1 << 50  # beyond the end of any journal: where its locks are
ALONE, TURN, WRITE, FIRST_TRIAL = range(4)  # places: all of a search, a step of it, a line, a trial
BLOCK = 1 << 16  # bytes that are read at once from the end of a journal

State = Literal["complete", "pruned", "failed", "unfinished"]


@dataclass(frozen=True)
class Trial:
    """What came out of one trial.

    Parameters
    ----------
    hyperparameters : mapping
        Those that are searched, as this trial had them.
    state : {"complete", "pruned", "failed", "unfinished"}
        Whether it was measured, ended early because it lagged behind, broke, or was running when
        the time of the search was over.
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
        The journal; made if there is none.
    space : mapping of str to Dimension
        What is searched.
    defaults : mapping
        The values that the first trial has.
    total : int
        How many trials there are to be, >= 1.
    seed_of : callable
        Returns the seed with which the trial after so many is chosen.
    shared : bool
        Whether several processes run its trials, which are then not the same every time; the next
        trial is chosen as if those that run had come out badly (constant liar).
    """

    def __init__(
        self,
        path: Path,
        space: Mapping[str, Dimension],
        defaults: Mapping[str, Any],
        total: int,
        seed_of: Callable[[int], int],
        *,
        shared: bool = False,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._path, self._space, self._defaults = path, space, defaults
        self._total, self._seed_of, self._shared = total, seed_of, shared
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with held(path, TURN):
            with held(path, WRITE):
                mend(path)
            self._study = optuna.create_study(
                storage=_storage(path),
                study_name=NAME,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(),
                load_if_exists=True,
            )
        self._asked: Any = None
        self._claim: Any = None

    @property
    def ended(self) -> list[Trial]:
        """The trials that came to an end, in order."""
        trials = self._study.get_trials(deepcopy=False)
        return [Trial(**t.user_attrs[ENDED]) for t in trials if ENDED in t.user_attrs]

    def ask(self) -> dict[str, Any] | None:
        """Begin a trial and return its hyperparameters, the first time the defaults.

        None if all have ended; while others run the last ones, it waits for them.
        """
        while True:
            with held(self._path, TURN):
                running = self._abandon()
                done = len(self.ended)
                if done >= self._total:
                    return None
                if done + running < self._total:
                    return self._begin(done + running)
            time.sleep(WAIT_SECONDS)

    def _begin(self, earlier: int) -> dict[str, Any]:
        from optuna.samplers import TPESampler

        self._study.sampler = TPESampler(
            seed=self._seed_of(earlier), constant_liar=self._shared, multivariate=True
        )
        if not earlier and not self._in_state("WAITING"):
            self._study.enqueue_trial(
                {name: d.encode(self._defaults[name]) for name, d in self._space.items()}
            )
        self._asked = self._study.ask({n: d.distribution() for n, d in self._space.items()})
        self._claim = _claimed(self._path, FIRST_TRIAL + self._asked.number)
        return {name: d.decode(self._asked.params[name]) for name, d in self._space.items()}

    def lags(self, rung: int, value: float) -> bool:
        """Note what the trial that was asked for has reached, and say whether to end it."""
        self._asked.report(value, rung)
        return self._asked.should_prune()

    def tell(self, trial: Trial | None) -> None:
        """End the trial that was asked for; None: it came to nothing and does not count."""
        with held(self._path, TURN):
            if trial is not None:
                self._asked.set_user_attr(ENDED, plain(asdict(trial)))
            self._end(self._asked.number, trial)
            self._claim.close()

    def _end(self, number: int, trial: Trial | None) -> None:
        from optuna.trial import TrialState

        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        value = trial.value if trial and trial.state == "complete" else None
        self._study.tell(number, value, states.get(trial.state if trial else "", TrialState.FAIL))

    def _abandon(self) -> int:
        """End the trials that nobody runs any more, those of which there is a result with that.

        Returns
        -------
        int
            How many trials others run.
        """
        others = 0
        for left in self._in_state("RUNNING"):
            claim = _claimed(self._path, FIRST_TRIAL + left.number)
            if claim is None:
                others += 1
                continue
            kept = left.user_attrs.get(ENDED)
            self._end(left.number, Trial(**kept) if kept else None)
            claim.close()
        return others

    def _in_state(self, state: str) -> list[Any]:
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=(TrialState[state],))


def summary(found: Mapping[str, Any], cost: Mapping[str, float]) -> str:
    """Say in a line what a search that has ended found, and what it cost."""
    states = Counter(trial["state"] for trial in found["trials"])
    unusual = ("pruned", "failed", "unfinished")
    others = "".join(f", {states[s]} {s}" for s in unusual if states[s])
    best, default = (
        "–" if found[kind] is None else f"{found[kind]:.4f}" for kind in ("best", "default")
    )
    return (
        f"objective {best}, with defaults {default}; {len(found['trials'])} trials{others} "
        f"in {cost['tuning_seconds']:.0f} s"
    )


def count_ended(path: Path) -> int:
    """Count the trials that came to an end in a journal, which may be torn or absent."""
    ended = 0
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, AttributeError):
                ended += ENDED in json.loads(line).get("user_attr", ())
    return ended


def mend(path: Path) -> None:
    """Make a journal readable that a writer was killed in; nobody may write it meanwhile.

    What cannot be read, and all that was written after it, is cut off.
    """
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
        os.truncate(path, whole)


@contextlib.contextmanager
def held(path: Path, place: int) -> Iterator[None]:
    """Wait until no other living process holds a place of a journal, and hold it."""
    while (file := _claimed(path, place)) is None:
        time.sleep(POLL_SECONDS)
    with file:
        yield


def _claimed(path: Path, place: int) -> Any | None:
    """Return a file that holds a place of a journal while it is open; None if another one does."""
    file = path.open("rb+")
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _one_byte(PLACES + place))
    except (BlockingIOError, PermissionError):
        file.close()
        return None
    return file


def _one_byte(start: int) -> bytes:
    """Return a ``struct flock`` that locks one byte for writing."""
    return struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)


def _storage(path: Path) -> Any:
    """Return Optuna's storage in a journal whose torn lines are cut off before the next is written.

    Optuna would append to a torn line, and could not read the journal ever after.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    class Backend(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            with held(path, WRITE):
                path.with_name(f"{path.name}.lock").unlink(missing_ok=True)  # of a killed writer
                _cut_torn_line(path)
                super().append_logs(logs)

    return JournalStorage(Backend(str(path)))


def _cut_torn_line(path: Path) -> None:
    """Cut a last line without an end off."""
    with open(path, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end, kept = size, b""
        while end and b"\n" not in kept:
            begun = max(0, end - BLOCK)
            file.seek(begun)
            kept, end = file.read(end - begun), begun
        whole = end + kept.rfind(b"\n") + 1
        if whole < size:
            file.truncate(whole)
