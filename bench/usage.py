"""What a stretch of work uses of this process's memory, and of a GPU."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, MutableMapping


@contextlib.contextmanager
def peak_memory(cost: MutableMapping[str, float]) -> Iterator[None]:
    """Measure the peak resident memory beyond what the process held before, and that of a GPU.

    ``cost`` gets ``peak_rss_mib`` and, where torch has used a GPU, ``peak_gpu_mib``; what it holds
    already stays if it is more.
    """
    before = _memory_mib("VmRSS")
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # resets the peak (proc(5))
    yield
    peaks = {"peak_rss_mib": max(0.0, _memory_mib("VmHWM") - before)}
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_initialized():
        peaks["peak_gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    for name, peak in peaks.items():
        cost[name] = max(cost.get(name, 0.0), peak)


def _memory_mib(field: str) -> float:
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    return 0.0
