"""One function in a process of its own: limited in time, memory and threads, and killed whole.

The caller becomes a subreaper, so whatever the child forks away comes back as a descendant of the
caller and is found and killed, whichever session or group it hides in. The caller must have no
threads, and no other children but those in ``SPARED``.

A task may have a helper that is no descendant of the caller, forked by a server: it says so by
``announce``, and then the helper's descendants count with its own. A helper must end by itself when
the task has ended; ``run`` waits for that.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import resource
import select
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

POLL_SECONDS = 0.1
LOG_BYTES = 64 * 1024  # kept of each end of what the child prints
KILL_SECONDS = 5.0  # how long killed processes may take to disappear
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SPARED: set[int] = set()  # children of this process that belong to no task


@dataclass(frozen=True)
class Limits:
    """What the child and all its descendants may use together.

    Parameters
    ----------
    seconds : float, optional
        Wall-clock time.
    memory_mib : float, optional
        Resident memory beyond what the child began with.
    cpus : tuple of int, optional
        The processors it may run on.
    looks : int
        So many looks in a row must find too much memory. More than one leaves a child that limits
        children of its own the time to end the one that grew.
    """

    seconds: float | None = None
    memory_mib: float | None = None
    cpus: tuple[int, ...] | None = None
    looks: int = 1


@dataclass
class Outcome:
    """How the child ended.

    ``ended`` is "exit", "timeout", "oom" or "cancelled"; ``exit_code`` is negative for a signal.
    """

    ended: str
    exit_code: int
    seconds: float
    peak_rss_mib: float
    log: bytes
    messages: list[dict[str, Any]] = field(default_factory=list)


Report = Callable[..., None]


def run(
    task: Callable[[Report], None],
    limits: Limits,
    *,
    on_message: Callable[[Mapping[str, Any]], None] = lambda message: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run ``task`` in a forked child and wait for the end of it and of all it started.

    Parameters
    ----------
    task : callable
        Called with a function that sends keyword arguments back as a message.
    limits : Limits
        Breaking one kills the child and its descendants.
    on_message : callable
        Sees each message when it arrives; the outcome lists them all.
    cancelled : callable
        Asked at every poll; True kills the child.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    message_read, message_write = os.pipe()
    log_read, log_write = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(message_read)
        os.close(log_read)
        _become_child(limits, log_write)
        _call(task, message_write)
    os.close(message_write)
    os.close(log_write)
    watch = _Watch(child, limits, message_read, log_read, on_message, cancelled)
    try:
        ended = watch.until_end()
    finally:
        kill_descendants()
        watch.await_helpers()
        watch.close()
    seconds = time.monotonic() - started
    return Outcome(ended, watch.exit_code, seconds, watch.peak_rss_mib, watch.log(), watch.messages)


_speak: Report | None = None  # in a child: sends a message to whoever runs it


def announce(helper: int, base_mib: float) -> None:
    """Say, from within a task, that another process works for it and ends when it ends.

    Parameters
    ----------
    helper : int
        Its process id. What it forks counts; it does not itself.
    base_mib : float
        The memory that each of them began with.
    """
    if _speak is not None:
        _speak(helper=helper, base_mib=base_mib)


def _become_child(limits: Limits, log: int) -> None:
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(2)  # a segmentation fault leaves its stack in the log
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, errors="replace", closefd=False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # if the kernel must kill, it kills the cell and not the sweep
    if limits.cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, limits.cpus)


def _call(task: Callable[[Report], None], messages: int) -> None:
    """Run the task in the child; never returns."""
    global _speak
    owner = os.getpid()

    def report(**message: Any) -> None:
        if os.getpid() == owner:  # a copy that the task forked away has nothing to say
            _write_all(messages, json.dumps(message).encode() + b"\n")

    code = 1
    _speak = report
    try:
        task(report)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


class _Watch:
    """Follows one child: its messages, what it prints, its time and its memory."""

    def __init__(
        self,
        child: int,
        limits: Limits,
        messages: int,
        log: int,
        on_message: Callable[[Mapping[str, Any]], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.child = child
        self.limits = limits
        self.exit_code = 0
        self.peak_rss_mib = 0.0
        self.messages: list[dict[str, Any]] = []
        self._on_message = on_message
        self._cancelled = cancelled
        self._pipes = {messages: self._take_message, log: self._take_log}
        self._selector = selectors.DefaultSelector()
        for pipe in self._pipes:
            os.set_blocking(pipe, False)
            self._selector.register(pipe, selectors.EVENT_READ)
        self._partial = b""
        self._head = b""
        self._tail = b""
        self._log_bytes = 0
        # Not all that this process holds is copied to the child, which may have begun to work.
        self._base_mib = min(forked_mib(os.getpid()), forked_mib(child))
        self._deadline = time.monotonic() + (limits.seconds or float("inf"))
        self._oom_kills = _kernel_oom_kills()
        self._over = 0  # looks in a row that found too much memory
        self._helpers: list[_Helper] = []

    def until_end(self) -> str:
        next_look = 0.0
        while True:
            for key, _ in self._selector.select(POLL_SECONDS):
                self._read(key.fd)
            ended, status = os.waitpid(self.child, os.WNOHANG)
            if ended:
                self.exit_code = os.waitstatus_to_exitcode(status)
                self._drain()
                killed = self.exit_code == -signal.SIGKILL
                return "oom" if killed and _kernel_oom_kills() > self._oom_kills else "exit"
            if self._cancelled():
                return "cancelled"
            now = time.monotonic()
            if now > self._deadline:
                return "timeout"
            if now >= next_look:
                next_look = now + POLL_SECONDS
                if self._is_over_memory():
                    return "oom"

    def _is_over_memory(self) -> bool:
        bases = dict.fromkeys(descendants(), self._base_mib)
        for helper in self._helpers:
            if not helper.has_ended():
                bases |= dict.fromkeys(descendants(helper.pid), helper.base_mib)
        used = sum(max(0.0, memory_mib(pid) - base) for pid, base in bases.items())
        self.peak_rss_mib = max(self.peak_rss_mib, used)
        is_over = self.limits.memory_mib is not None and used > self.limits.memory_mib
        self._over = self._over + 1 if is_over else 0
        return self._over >= self.limits.looks

    def _drain(self) -> None:
        for pipe in self._pipes:
            while self._read(pipe):
                pass

    def _read(self, pipe: int) -> bool:
        try:
            content = os.read(pipe, 1 << 16)
        except BlockingIOError:
            return False
        if content:
            self._pipes[pipe](content)
        elif pipe in self._selector.get_map():
            self._selector.unregister(pipe)
        return bool(content)

    def _take_message(self, content: bytes) -> None:
        *lines, self._partial = (self._partial + content).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # the task wrote into a descriptor that is not its own
            if "helper" in message:
                self._add_helper(**message)
                continue
            self.messages.append(message)
            self._on_message(message)

    def _add_helper(self, helper: int, base_mib: float) -> None:
        with contextlib.suppress(OSError, AttributeError):  # it has ended; not Linux
            self._helpers.append(_Helper(helper, os.pidfd_open(helper), base_mib))
        announce(helper, base_mib)  # to whoever limits this process

    def await_helpers(self) -> None:
        """Wait until the helpers of the task have ended, as they do by themselves."""
        deadline = time.monotonic() + KILL_SECONDS
        for helper in self._helpers:
            helper.has_ended(max(0.0, deadline - time.monotonic()))
            os.close(helper.handle)

    def _take_log(self, content: bytes) -> None:
        self._log_bytes += len(content)
        room = LOG_BYTES - len(self._head)
        self._head += content[:room]
        self._tail = (self._tail + content[room:])[-LOG_BYTES:]

    def log(self) -> bytes:
        left_out = self._log_bytes - len(self._head) - len(self._tail)
        gap = f"\n... {left_out} bytes left out ...\n".encode() if left_out else b""
        return self._head + gap + self._tail

    def close(self) -> None:
        self._drain()
        for pipe in self._pipes:
            os.close(pipe)
        self._selector.close()


@dataclass(frozen=True)
class _Helper:
    """A process that works for a task; its handle tells when it has ended."""

    pid: int
    handle: int
    base_mib: float

    def has_ended(self, seconds: float = 0.0) -> bool:
        told = select.poll()
        told.register(self.handle, select.POLLIN)
        return bool(told.poll(seconds * 1000))


def descendants(root: int | None = None) -> Iterator[int]:
    """Yield the process ids below ``root`` (default: this process), parents first.

    What is ``SPARED``, and all below it, is left out.
    """
    for child in _children(root or os.getpid()):
        if child not in SPARED:
            yield child
            yield from descendants(child)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                found += map(int, children.read().split())
    return found


def kill_descendants() -> None:
    """Kill every process below this one and wait until none is left.

    A process that forks faster than it is found loses in the end, because stopped processes
    cannot fork: each round first stops all it sees.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        alive = list(descendants())
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        if _reap_all():
            return
        time.sleep(0.002)


def _reap_all() -> bool:
    """Collect ended children; whether none is left but those that are spared."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return bool(SPARED) and next(descendants(), None) is None
    return True


def memory_mib(pid: int) -> float:
    """Return the resident memory that a process does not share with a file, in MiB.

    File pages are left out, because a forked child begins without those its parent has touched.
    """
    return _resident_mib(pid, "RssAnon:", "RssShmem:")


def forked_mib(pid: int) -> float:
    """Return what ``memory_mib`` is of a child that a process forks: without shared memory."""
    return _resident_mib(pid, "RssAnon:")


def _resident_mib(pid: int, *sorts: str) -> float:
    total = 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(sorts):
                total += int(line.split()[1])
    return total / 1024


def _kernel_oom_kills() -> int:
    with contextlib.suppress(OSError), open("/proc/vmstat") as vmstat:
        for line in vmstat:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
