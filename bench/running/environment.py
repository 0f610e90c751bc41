"""On what a cell ran: recorded beside every result, part of no key."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "xgboost-cpu",
    "xgboost",
    "torch",
)
# The instruction sets that change floating-point results of BLAS and torch.
ISA_FLAGS = ("avx512f", "avx2", "fma", "asimd")


@functools.cache
def describe() -> dict[str, Any]:
    """Return the software and hardware of this process as plain values."""
    return {
        "syntharena": _version("syntharena"),
        "git": _git(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu()[0],
        "isa": _cpu()[1],
        "cpus": os.cpu_count(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def gpu() -> str | None:
    """Return the GPU that this process computes on; None if it uses none by torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.get_device_name()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> tuple[str, list[str]]:
    name, flags = platform.processor() or "unknown", set()
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
                break
    return name, [flag for flag in ISA_FLAGS if flag in flags]


def _git() -> str | None:
    """Return the commit this code runs from, ``+`` if changed; None outside a checkout."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip() or None
    return None
