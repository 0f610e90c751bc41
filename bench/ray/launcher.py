"""The Ray launcher: cells on the nodes of a Ray cluster, as many at once as it has room for.

Every node must see the Store, the environment and the tables under the same paths. A runner that is
lost with its node costs the cell in hand, which another runner begins again, or goes on with where
it left a checkpoint.

Limit: how many runners there are is decided at the start; nodes that join later get none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..cells import Cell
from ..process import Outcome
from ..running.costs import Costs
from ..running.packs import packs
from ..running.pool import STOP_SECONDS, Event, Workplace
from ..running.resources import check, wanted
from ..running.worker import make_record
from ..store import Store, StoreError

POLL_SECONDS = 0.2
REACH_SECONDS = 10.0  # for a cluster to answer
CLOSE_SECONDS = 15.0  # for all runners to end their workers
GUESS_SECONDS = 60.0  # of a cell whose generator has no record yet
PASSED_ON = ("SYNTHARENA_", "PYTHONPATH")  # how variables begin that runners get


class RayError(RuntimeError):
    """Ray is not there, or has no room for a cell."""


@dataclass(frozen=True)
class Needs:
    """What one runner asks Ray for.

    Parameters
    ----------
    threads : int
        Of one cell.
    cpus, gpus : int
        Processors and GPUs.
    memory_mib : int, optional
        Memory; None: Ray does not count it.
    """

    threads: int
    cpus: int
    gpus: int
    memory_mib: int | None

    @classmethod
    def of(cls, cell: Cell, by_generator: Mapping[str, Mapping[str, Any]]) -> Needs:
        """Return what a cell's runner asks for; what only SLURM knows is passed over."""
        wish = wanted(cell, {}, by_generator)
        threads = int(cell.limits["threads"])
        cpus = max(threads, int(wish.get("cpus", threads)))
        return cls(threads, cpus, int(wish.get("gpus", 0)), wish.get("memory_mib"))

    def options(self) -> dict[str, Any]:
        """Return Ray's options of an actor that asks for it."""
        memory = {"memory": self.memory_mib * 2**20} if self.memory_mib else {}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **memory}

    def room(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many runners fit on nodes with such resources at once."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": (self.memory_mib or 0) * 2**20}
        asked = {name: amount for name, amount in asked.items() if amount}
        return sum(
            int(min(node.get(name, 0.0) // amount for name, amount in asked.items()))
            for node in nodes
        )


class Ray:
    """Runs cells on a Ray cluster.

    Parameters
    ----------
    address : str, optional
        Of the cluster; None: as ``ray.init`` finds one (RAY_ADDRESS, a cluster of this machine),
        else a Ray of this machine that ends with the sweep.
    workers : int, optional
        Most cells at once of those that ask for the same; None: as many as there is room for.
    by_generator : mapping of str to mapping
        What cells of a generator need, by its name: ``cpus``, ``gpus``, ``memory_mib``. It wins
        over the ``resources`` of the generator's YAML.
    together : int
        Most cells that differ in nothing but their seeds whose generators are fitted as one batch.
    retries : int
        How often a cell is run again whose runner was lost.

    Raises
    ------
    ValueError
        If a setting is wrong.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        by_generator: Mapping[str, Mapping[str, Any]] | None = None,
        together: int = 1,
        retries: int = 2,
    ) -> None:
        for name, value, least in (
            ("workers", 1 if workers is None else workers, 1),
            ("together", together, 1),
            ("retries", retries, 0),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(
                    f"hydra.launcher.{name} must be a whole number >= {least}, got {value!r}"
                )
        self.address = address
        self.workers = workers
        self.by_generator = by_generator or {}
        self.together = together
        self.retries = retries
        for wish in self.by_generator.values():
            check(wish)

    def run(
        self,
        cells: Sequence[Cell],
        place: Workplace,
        on_event: Event,
        stopping: Callable[[], bool] = lambda: False,
    ) -> int:
        """Run every cell and return when each has its record.

        Parameters
        ----------
        cells : sequence of Cell
            What is to be run; cells that share a dataset and split should be neighbours.
        place : Workplace
            Folders; every node must see them under the same paths.
        on_event : callable
            As in ``Launcher.run``.
        stopping : callable
            Asked often; True ends the cells in hand as ``preempted`` and starts no more.

        Returns
        -------
        int
            0: nothing is left to others.

        Raises
        ------
        RayError
            If Ray cannot be reached, or no node is large enough for a cell.
        """
        with connected(self.address) as ray:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            crew = _Crew(ray, place, on_event, self.retries)
            try:
                for needs, group in self._groups(cells).items():
                    waiting = packs(group, self.together)
                    crew.hire(needs, waiting, self._runners(needs, nodes))
                crew.run(stopping)
            finally:
                crew.close()
        return 0

    def outline(self, cells: Sequence[Cell], place: Workplace) -> list[str]:
        """Return lines that say what ``run`` would do; Ray is not asked for anything."""
        costs = Costs.of(Store(place.results), GUESS_SECONDS)
        where = self.address or "as Ray finds one, or else Ray on this machine"
        lines = [f"{len(cells)} cells on a Ray cluster ({where})"]
        for needs, group in self._groups(cells).items():
            hours = needs.cpus * sum(map(costs.seconds, group)) / 3600
            asked = ", ".join(f"{name} {value:g}" for name, value in needs.options().items())
            lines.append(f"{len(group)} cells, each with {asked}: about {hours:.1f} core-hours")
        unknown = sorted({cell.label for cell in cells if not costs.knows(cell)})
        if unknown:
            guess = f"without a record here, and so taken for {GUESS_SECONDS:g} s"
            lines.append(f"{guess}: {', '.join(unknown)}")
        return lines

    def _groups(self, cells: Sequence[Cell]) -> dict[Needs, list[Cell]]:
        """Divide cells by what they need."""
        found: dict[Needs, list[Cell]] = {}
        for cell in cells:
            found.setdefault(Needs.of(cell, self.by_generator), []).append(cell)
        return found

    def _runners(self, needs: Needs, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many runners there shall be."""
        if room := needs.room(nodes):
            return min(room, self.workers or room)
        asked = ", ".join(f"{name}={value:g}" for name, value in needs.options().items())
        raise RayError(
            f"a node must have room for a cell ({asked}), and none of the {len(nodes)} nodes of "
            "the Ray cluster has; ask for less by limits.threads or hydra.launcher.by_generator"
        )


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Be connected to a Ray cluster, and hand out the module.

    Raises
    ------
    RayError
        If Ray is not installed or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no network but the cluster's
    try:
        import ray
    except ImportError:
        raise RayError(
            "hydra/launcher=ray needs Ray; install it: pip install 'syntharena[ray]'"
        ) from None
    _reach(address)
    try:
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RayError(
            f"hydra.launcher.address must lead to a Ray cluster, got {address!r} ({error})"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """See that somebody listens at an address, for which Ray itself would wait for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise RayError(
            f"hydra.launcher.address must lead to a Ray cluster, got {address!r} ({error})"
        ) from error


@dataclass
class _Group:
    """Cells that need the same, and how many were lost with their runner."""

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


class _Crew:
    """Runners of one sweep, and the streams in which they say what happens."""

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
        from .runner import Runner

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
                self._end(cell, record)
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
        end = {"status": "failed", "reason": reason, "stage": "start"}
        self._store.put(make_record(cell, Outcome("exit", 1, 0.0, 0.0, b""), end, time.time()))
        self._end(cell, self._store.get(cell) or end)

    def _end(self, cell: Cell, record: Mapping[str, Any]) -> None:
        done = {"status": record["status"], "reason": record["reason"]}
        self._on_event(cell, {"done": done})

    def close(self) -> None:
        """End all runners; what they have in hand ends without a record."""
        runners = [runner for group in self._groups for runner in group.runners]
        closed = [runner.close.remote() for runner in runners]
        self._ray.wait(closed, num_returns=len(closed), timeout=CLOSE_SECONDS) if closed else None
        for runner in runners:
            self._ray.kill(runner)
