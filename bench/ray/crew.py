"""The crew: runners on the nodes, what each has in hand, and what is done when one is lost."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from ..cells import Cell
from ..running.pool import STOP_SECONDS, Event, Workplace
from ..running.worker import put_lost
from ..store import Store, StoreError
from .needs import Needs, RayError
from .runner import Runner

POLL_SECONDS = 0.2
CLOSE_SECONDS = 15.0  # for all runners to end their workers
PASSED_ON = ("SYNTHARENA_", "PYTHONPATH")  # how variables begin that runners get


@dataclass
class _Group:
    """Cells that need the same, and who runs them."""

    needs: Needs
    waiting: deque[list[Cell]]
    runners: list[Any] = field(default_factory=list)


@dataclass
class _Hand:
    """A runner and what it has in hand."""

    group: _Group
    runner: Any
    left: dict[str, Cell]
    current: Cell | None = None
    progress: Hashable = None


class Crew:
    """Runners of one sweep, and the streams in which they say what happens.

    Parameters
    ----------
    ray : module
        Ray, connected to its cluster.
    place : Workplace
        Folders and preloaded modules.
    on_event : callable
        As in ``Launcher.run``.
    retries : int
        How often a cell is run again whose runner was lost.
    """

    def __init__(self, ray: Any, place: Workplace, on_event: Event, retries: int) -> None:
        self._ray = ray
        self._place = place
        self._on_event = on_event
        self._retries = retries
        self._store = Store(place.results)
        self._hands: dict[Any, _Hand] = {}  # by the stream
        self._groups: list[_Group] = []
        self._lost: Counter[str] = Counter()
        self._stopping: Callable[[], bool] = lambda: False

    def hire(self, needs: Needs, waiting: list[list[Cell]], runners: int) -> None:
        """Have cells run by so many runners."""
        group = _Group(needs, deque(waiting))
        self._groups.append(group)
        for _ in range(min(runners, len(waiting))):
            self._feed(group, self._hire(group))

    def _hire(self, group: _Group) -> Any:
        variables = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}
        actor = self._ray.remote(max_concurrency=2, **group.needs.options())(Runner)
        runner = actor.remote(self._place, group.needs.threads, os.getcwd(), variables)
        group.runners.append(runner)
        return runner

    def _feed(self, group: _Group, runner: Any) -> None:
        """Give a runner the next pack of its group; let it go when there is none."""
        if not group.waiting:
            self._let_go(group, runner)
            return
        pack = group.waiting.popleft()
        stream = runner.run.options(num_returns="streaming").remote(
            [cell.to_dict() for cell in pack]
        )
        self._hands[stream] = _Hand(group, runner, {cell.record_key: cell for cell in pack})

    def _let_go(self, group: _Group, runner: Any) -> None:
        """Make room for runners that wait for it."""
        group.runners.remove(runner)
        runner.close.remote()
        runner.__ray_terminate__.remote()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Run until no cell is left."""
        self._stopping = stopping
        deadline = None
        while self._hands:
            if deadline is None and stopping():
                deadline = time.monotonic() + STOP_SECONDS
                self._stop()
            if deadline is not None and time.monotonic() > deadline:
                return
            ready, _ = self._ray.wait(list(self._hands), timeout=POLL_SECONDS, fetch_local=False)
            for stream in ready:
                self._receive(stream)

    def _stop(self) -> None:
        for group in self._groups:
            group.waiting.clear()
            for runner in group.runners:
                runner.stop.remote()

    def _receive(self, stream: Any) -> None:
        from ray.exceptions import RayActorError, RayTaskError  # pyright: ignore

        hand = self._hands[stream]
        try:
            key, event = self._ray.get(next(stream))
        except StopIteration:
            del self._hands[stream]
            self._feed(hand.group, hand.runner)
        except RayActorError as error:
            del self._hands[stream]
            self._replace(hand, error)
        except RayTaskError as error:
            if isinstance(error.cause, StoreError):
                raise error.cause from error
            raise RayError(f"a runner ended: {error.cause}") from error
        else:
            self._note(hand, key, event)

    def _note(self, hand: _Hand, key: str, event: dict[str, Any]) -> None:
        cell = hand.left[key]
        if "started" in event:
            hand.current, hand.progress = cell, self._store.progress_of(cell)
        elif "done" in event:
            hand.current = None
            del hand.left[key]
        self._on_event(cell, event)

    def _replace(self, hand: _Hand, error: Exception) -> None:
        """Hand on what a lost runner had, and hire another."""
        hand.group.runners.remove(hand.runner)
        if self._stopping():
            return
        again = []
        for cell in hand.left.values():
            if (record := self._store.get(cell)) is not None:  # it died when it had written it
                done = {"status": record["status"], "reason": record["reason"]}
                self._on_event(cell, {"done": done})
            elif cell is hand.current and self._is_given_up(hand, cell):
                self._give_up(cell, error)
            else:
                again.append([cell])
        hand.group.waiting.extendleft(reversed(again))
        if hand.group.waiting:
            self._feed(hand.group, self._hire(hand.group))

    def _is_given_up(self, hand: _Hand, cell: Cell) -> bool:
        """Whether a cell was lost too often; one that got further is not counted."""
        if self._store.progress_of(cell) == hand.progress:
            self._lost[cell.record_key] += 1
        return self._lost[cell.record_key] > self._retries

    def _give_up(self, cell: Cell, error: Exception) -> None:
        words = " ".join(str(error).split())
        times = self._lost[cell.record_key]
        reason = f"its runner was lost {times} times while it ran: {words[:200]}"
        self._on_event(cell, {"done": put_lost(self._store, cell, "failed", reason)})

    def close(self) -> None:
        """End all runners; what they have in hand ends without a record."""
        runners = [runner for group in self._groups for runner in group.runners]
        closed = [runner.close.remote() for runner in runners]
        if closed:
            self._ray.wait(closed, num_returns=len(closed), timeout=CLOSE_SECONDS)
        for runner in runners:
            self._ray.kill(runner)
