"""What both sides of a comparison measure, by the same code and without looking into a library.

CPU seconds of an epoch come from a hook that torch calls after every step of every optimizer: the
mean time from one step to the next, times the steps of an epoch. So encoding before the first step
and whatever follows the last one are not in it. It imports nothing of this project.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def cpu_seconds() -> float:
    """CPU seconds of this process and of all that it started, living workers included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = sum(seconds for process, seconds in spent().items() if process != os.getpid())
    return time.process_time() + ended.ru_utime + ended.ru_stime + living


def spent(process: int | None = None) -> dict[int, float]:
    """CPU seconds of a process and of those that it started, each with its children that ended.

    Parameters
    ----------
    process : int, optional
        By default this one.
    """
    parents, seconds = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(folder.name)] = int(fields[1])
        seconds[int(folder.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    found = {process or os.getpid()} & set(seconds)
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {each: seconds[each] for each in found}


def mib(field: str) -> float:
    """Memory of this process in MiB: VmRSS is what it has, VmHWM the most since ``forget_peak``."""
    status = Path("/proc/self/status").read_text()
    return next(
        int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field)
    )


def forget_peak() -> None:
    """Let the peak of memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def watch_steps() -> list[float]:
    """Return a list that gets the CPU second at which each step of an optimizer ends.

    What torch imports at its first step is imported here, so that it is in no figure.
    """
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    torch.set_num_threads(1)
    weights = torch.nn.Parameter(torch.zeros(2))
    adam = torch.optim.Adam([weights])
    weights.grad = torch.ones(2)
    adam.step()
    ends: list[float] = []
    register_optimizer_step_post_hook(lambda *_: ends.append(time.process_time()))
    return ends


def epoch_seconds(ends: Sequence[float], epochs: int) -> float | None:
    """Return the CPU seconds of an epoch; None with less than two steps.

    Parameters
    ----------
    ends : sequence of float
        When each step ended.
    epochs : int
        How many epochs they are, >= 1.
    """
    if len(ends) < 2:
        return None
    return (ends[-1] - ends[0]) / (len(ends) - 1) * len(ends) / epochs


def tell(**found: Any) -> None:
    """Print what was found as a line of JSON; what is told before a process is ended counts."""
    print(json.dumps(found), flush=True)


def run(
    fit: Callable[[], Callable[[int], Any]],
    *,
    draws: int,
    epochs: int,
    ends: Sequence[float],
    write: Callable[[Any], None],
) -> None:
    """Fit, draw and write, and tell what each cost.

    Parameters
    ----------
    fit : callable
        Returns what draws so many rows.
    draws : int
        Rows to draw.
    epochs : int
        Of the training, if it has any.
    ends : sequence of float
        Of ``watch_steps``; stays empty where nothing takes steps.
    write : callable
        Writes the drawn rows.
    """
    before = mib("VmRSS")
    forget_peak()
    started = cpu_seconds()
    sample = fit()
    seconds = cpu_seconds() - started
    tell(
        fit_seconds=seconds,
        epoch_seconds=epoch_seconds(ends, epochs),
        epoch_steps=len(ends) / epochs,
        peak_mib=mib("VmHWM") - before,
    )
    fitted = cpu_seconds()
    made = sample(draws)
    drawn = cpu_seconds() - fitted
    tell(
        rows_per_second=draws / max(drawn, 1e-9),
        total_seconds=seconds + drawn,
        peak_mib=mib("VmHWM") - before,
    )
    write(made)
    tell(done=True)
