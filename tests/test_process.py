"""Processes of cells: limits, what escapes them, and what is left behind (faults F7 to F9)."""

import contextlib
import ctypes
import mmap
import os
import signal
import subprocess
import sys
import time

import pytest

from syntharena.bench import process
from syntharena.bench.process import Limits


@pytest.fixture(autouse=True)
def nothing_survives():
    """No test may leave a process behind; the tests themselves run as a child of this one."""
    yield
    assert list(process.descendants()) == []


def test_a_task_reports_and_ends():
    outcome = process.run(lambda report: report(answer=42), Limits())
    assert (outcome.ended, outcome.exit_code) == ("exit", 0)
    assert outcome.messages == [{"answer": 42}]


def test_messages_arrive_while_the_task_runs():
    delays = []

    def task(report):
        report(at=time.monotonic())
        time.sleep(1.0)

    process.run(
        task, Limits(), on_message=lambda message: delays.append(time.monotonic() - message["at"])
    )
    assert len(delays) == 1
    assert delays[0] < 1.0


def ignore_sigterm(report):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def fork_away(report):
    """Double-fork into another session, as a daemon does, and hang there."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
    report(forked=True)
    time.sleep(60)


def spin(report):
    while True:
        pass


@pytest.mark.parametrize("task", [ignore_sigterm, fork_away, spin])
def test_a_hanging_task_is_killed_with_all_it_started(task):
    outcome = process.run(task, Limits(seconds=0.4))
    assert outcome.ended == "timeout"
    assert outcome.seconds < 0.4 + 10


def test_what_a_finished_task_left_running_is_killed():
    def task(report):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.closerange(3, 64)
                time.sleep(60)
            os._exit(0)
        report(done=True)

    outcome = process.run(task, Limits(seconds=30))
    assert outcome.ended == "exit"
    assert outcome.messages == [{"done": True}]
    assert outcome.seconds < 5


def test_a_fork_bomb_is_defused():
    def task(report):
        for _ in range(200):
            if os.fork() == 0:
                time.sleep(60)
        time.sleep(60)

    outcome = process.run(task, Limits(seconds=0.5))
    assert outcome.ended == "timeout"


def test_memory_beyond_the_limit_ends_in_oom():
    def task(report):
        hoard = []
        while True:
            hoard.append(b"x" * 20_000_000)

    outcome = process.run(task, Limits(memory_mib=300, seconds=30))
    assert outcome.ended == "oom"
    assert outcome.seconds < 10
    assert 300 < outcome.peak_rss_mib < 3000


@pytest.mark.parametrize("kind", ["none", "shared", "not inherited"])
def test_memory_of_descendants_counts(kind):
    """Also if this process has memory without which a child begins."""

    def task(report):
        for _ in range(3):
            if os.fork() == 0:
                hoard = b"x" * 150_000_000
                time.sleep(60)
                del hoard
        time.sleep(60)

    size = 1 if kind == "none" else 400_000_000
    private = mmap.MAP_PRIVATE if kind == "not inherited" else mmap.MAP_SHARED
    with mmap.mmap(-1, size, flags=private | mmap.MAP_ANONYMOUS) as memory:
        memory.write(bytes(size))
        if kind == "not inherited":
            memory.madvise(mmap.MADV_DONTFORK)
        outcome = process.run(task, Limits(memory_mib=300, seconds=10))
    assert outcome.ended == "oom"


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (lambda report: ctypes.string_at(0), -signal.SIGSEGV),
        (lambda report: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
        (lambda report: os._exit(0), 0),
        (lambda report: os._exit(7), 7),
        (lambda report: sys.exit("enough"), 1),
        (lambda report: exec("raise BaseException('odd')"), 1),
    ],
)
def test_every_sort_of_crash_is_an_exit_and_not_a_timeout(task, code):
    outcome = process.run(task, Limits(seconds=30))
    assert (outcome.ended, outcome.exit_code) == ("exit", code)
    assert outcome.messages == []


def test_a_gigabyte_of_output_is_capped():
    def task(report):
        block = b"x" * (1 << 20)
        os.write(1, b"first words ")
        for _ in range(1024):
            os.write(1, block)
        os.write(1, b" last words")

    outcome = process.run(task, Limits(seconds=60))
    assert outcome.ended == "exit"
    assert len(outcome.log) < 3 * process.LOG_BYTES
    assert outcome.log.startswith(b"first words")
    assert outcome.log.endswith(b"last words")
    assert b"bytes left out" in outcome.log


def test_a_copy_that_the_task_forks_has_no_voice():
    def task(report):
        os.fork()
        report(pid=os.getpid())

    outcome = process.run(task, Limits(seconds=30))
    assert len(outcome.messages) == 1


def test_garbage_on_the_message_pipe_is_ignored():
    known = set(os.listdir("/proc/self/fd"))

    def task(report):
        for descriptor in set(os.listdir("/proc/self/fd")) - known:
            with contextlib.suppress(OSError):
                os.write(int(descriptor), b"\xff not json\n")
        report(still="here")

    outcome = process.run(task, Limits(seconds=30))
    assert outcome.messages[-1] == {"still": "here"}


def test_a_task_can_be_cancelled():
    started = time.monotonic()
    outcome = process.run(
        ignore_sigterm, Limits(), cancelled=lambda: time.monotonic() - started > 0.3
    )
    assert outcome.ended == "cancelled"


def test_standard_input_is_empty():
    def task(report):
        report(read=os.read(0, 10).decode())

    assert process.run(task, Limits(seconds=10)).messages == [{"read": ""}]


def test_the_child_dies_with_its_parent():
    code = (
        "import os, time\n"
        "from syntharena.bench import process\n"
        "def task(report):\n"
        "    report(pid=os.getpid())\n"
        "    time.sleep(60)\n"
        "process.run(task, process.Limits(), on_message=lambda m: print(m['pid'], flush=True))\n"
    )
    process.run(lambda report: None, Limits())  # makes this process the reaper of all below it
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    # The orphan comes to this process.
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no processor affinity here")
def test_the_child_keeps_to_its_processors():
    processor = min(os.sched_getaffinity(0))
    outcome = process.run(
        lambda report: report(cpus=sorted(os.sched_getaffinity(0))), Limits(cpus=(processor,))
    )
    assert outcome.messages == [{"cpus": [processor]}]
