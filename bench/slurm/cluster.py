"""The cluster: the few commands of SLURM that are used, and what their answers mean.

Jobs are found by their names, which are chosen before they are submitted, so that a process that
dies between ``sbatch`` and writing down its answer loses nothing. ``sacct`` is asked only for what
``squeue`` has forgotten, and may be missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

PREFIX = "syntharena-"  # of the name of every job
COMMAND_SECONDS = 60.0
OVER = frozenset(
    (
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "TIMEOUT",
    )
)
BLAMELESS = frozenset(("BOOT_FAIL", "CANCELLED", "NODE_FAIL", "PREEMPTED"))  # no cell's fault
UNKNOWN = "UNKNOWN"  # SLURM has forgotten the task


class ClusterError(RuntimeError):
    """SLURM refused or could not be asked."""


@dataclass(frozen=True)
class TaskState:
    """What SLURM says of one task of a job array.

    Parameters
    ----------
    state : str
        SLURM's word, e.g. ``"PENDING"``.
    reason : str
        Why it waits or ended, in SLURM's words.
    node : str
        Where it runs or ran; may be empty.
    """

    state: str
    reason: str = ""
    node: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it will not run any more."""
        return self.state in OVER or self.state == UNKNOWN


GONE = TaskState(UNKNOWN)
States = Mapping[str, Mapping[int, TaskState]]


class Cluster:
    """Calls SLURM's commands.

    Raises
    ------
    ClusterError
        If they are not on this machine.
    """

    def __init__(self) -> None:
        if shutil.which("sbatch") is None:
            raise ClusterError(
                "hydra/launcher=slurm needs SLURM's commands, sbatch is not found; log in to a "
                "machine of the cluster, or set hydra/launcher=local"
            )

    def submit(self, options: Sequence[str], script: str) -> str:
        """Submit a script and return the job's number.

        Raises
        ------
        ClusterError
            If SLURM refuses it; the message is SLURM's own.
        """
        answer = _call(["sbatch", "--parsable", *options], script)
        return answer.strip().partition(";")[0]

    def states(self, names: Iterable[str]) -> States:
        """Return the state of every task that SLURM remembers, by job name and index."""
        wanted = set(names)
        found: dict[str, dict[int, TaskState]] = defaultdict(dict)
        # By user, because that is filtered by the controller and not here.
        command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
        for line in _call([*command, "--format=%K|%T|%N|%r|%j"]).splitlines():
            index, state, node, reason, name = line.split("|", 4)
            if name in wanted and index.isdigit():
                found[name][int(index)] = TaskState(state, reason, node)
        return found

    def forgotten(self, name: str) -> Mapping[int, TaskState]:
        """Return what accounting knows of a job that ``squeue`` has forgotten; often nothing."""
        command = ["sacct", "--noheader", "--parsable2", "--allocations", f"--name={name}"]
        try:
            lines = _call([*command, "--starttime=now-30days", "--format=JobID,State,NodeList"])
        except ClusterError:  # accounting is off
            return {}
        found = {}
        for line in lines.splitlines():
            job, state, node = line.split("|")
            index = job.partition("_")[2]
            if index.isdigit():  # a task that ran again is listed again, the last one last
                found[int(index)] = TaskState(state.split()[0], "", node)
        return found

    def most_tasks(self) -> int:
        """Return how many tasks one array may have."""
        for line in _call(["scontrol", "show", "config"]).splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "MaxArraySize":
                return max(1, int(value) - 1)
        return 1000

    def cancel(self, names: Sequence[str]) -> None:
        """Cancel all tasks of jobs."""
        for name in names:
            _call(["scancel", f"--name={name}"])


def cancel_tasks(job: str, tasks: Iterable[int]) -> None:
    """Cancel some tasks of a job array, in one call; if SLURM refuses, they stay."""
    with contextlib.suppress(ClusterError):
        _call(["scancel", f"{job}_[{spans(tasks)}]"])


def spans(tasks: Iterable[int]) -> str:
    """Write indices as SLURM does: ``"0-4,7"``."""
    ends: list[list[int]] = []
    for task in sorted(tasks):
        if ends and task == ends[-1][1] + 1:
            ends[-1][1] = task
        else:
            ends.append([task, task])
    return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in ends)


def requeue_if_running(job: str) -> bool:
    """Put a task that is still running back into the queue; whether SLURM agreed.

    One that has been cancelled is left alone: ``scontrol requeue`` would bring it back.
    """
    try:
        state = _call(["squeue", "--noheader", f"--jobs={job}", "--format=%T"]).strip()
        if state != "RUNNING":
            return False
        _call(["scontrol", "requeue", job])
    except ClusterError:
        return False
    return True


def _call(command: Sequence[str], given: str = "") -> str:
    """Run a command of SLURM.

    Raises
    ------
    ClusterError
        If it fails, cannot be run or takes too long.
    """
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ClusterError(f"{command[0]} refused: {said}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Return the environment without what a surrounding job says of itself.

    ``sbatch`` would take its numbers for wishes.
    """
    own = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k in own}
