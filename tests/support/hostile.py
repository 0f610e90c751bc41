"""Generators that misbehave in every way that the harness promises to survive."""

import ctypes
import os
import signal
import sys
import time

import numpy as np
import pandas as pd
import psutil


class Honest:
    """A bootstrap, kept here so that the harness is tested without its own generators."""

    def __init__(self, note=None):
        self.note = note

    def fit(self, train, *, schema, budget, rng):
        self.train_ = train.copy()
        return self

    def sample(self, n, *, rng):
        return self.train_.iloc[rng.integers(len(self.train_), size=n)].reset_index(drop=True)


class FirstDraw(Honest):
    """Puts the first number that its fit draws into every row."""

    def fit(self, train, *, schema, budget, rng):
        x = schema["x"]
        self.number_ = x.lower + (x.upper - x.lower) * rng.random()
        return super().fit(train, schema=schema, budget=budget, rng=rng)

    def sample(self, n, *, rng):
        return super().sample(n, rng=rng).assign(x=self.number_)


class Bound(Honest):
    """Writes down the processors that it may use."""

    def fit(self, train, *, schema, budget, rng):
        with open(self.note, "a") as file:
            file.write(f"{sorted(os.sched_getaffinity(0))}\n")
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class Joint(Honest):
    """Learns one table like another, alone or in a batch."""

    parameters = 3

    def __init__(self, end="well"):
        self.end = end

    @classmethod
    def fit_together(cls, generators, tables, *, schema, budget, rngs):
        end = generators[0].end
        if end == "raises":
            raise RuntimeError("cannot learn these together")
        if end == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        while end == "hangs":
            time.sleep(0.1)
        for generator, table, rng in zip(generators, tables, rngs, strict=True):
            generator.fit(table, schema=schema, budget=budget, rng=rng)
            generator.progress(1, 1, loss=0.0)


class Slow(Honest):
    """Reports its progress while it takes its time."""

    def __init__(self, seconds=0.5):
        self.seconds = seconds

    def fit(self, train, *, schema, budget, rng):
        for step in range(5):
            time.sleep(self.seconds / 5)
            self.progress(step + 1, 5, loss=1.0 / (step + 1))
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class Waits(Honest):
    """Waits until there is a file."""

    def __init__(self, gate):
        self.gate = gate

    def fit(self, train, *, schema, budget, rng):
        wait_for(self.gate)
        return super().fit(train, schema=schema, budget=budget, rng=rng)


def wait_for(gate):
    while not os.path.exists(gate):
        time.sleep(0.05)


class Patient(Honest):
    """Adds up random numbers in slow steps, leaves a checkpoint after each, and a trace of them.

    With a gate, it waits after ten steps until there is that file.
    """

    checkpoint = None  # the harness puts one here

    def __init__(self, steps=40, seconds=0.1, gate=None):
        self.steps = steps
        self.seconds = seconds
        self.gate = gate

    def fit(self, train, *, schema, budget, rng):
        self.checkpoint.seconds = 0.0
        step, total, state = self.checkpoint.load() or (0, 0.0, rng.bit_generator.state)
        rng.bit_generator.state = state
        while step < self.steps:
            if self.gate and step == 10:
                wait_for(self.gate)
            time.sleep(self.seconds)
            total, step = total + rng.random(), step + 1
            if trace := os.environ.get("SYNTHARENA_TRACE"):
                with open(trace, "a") as file:
                    file.write(f"{step}\n")
            self.progress(step, self.steps, loss=total)
            now = (step, total, rng.bit_generator.state)
            self.checkpoint.save(lambda now=now: now)
        self.number_ = schema["x"].lower + total % (schema["x"].upper - schema["x"].lower)
        return super().fit(train, schema=schema, budget=budget, rng=rng)

    def sample(self, n, *, rng):
        return super().sample(n, rng=rng).assign(x=round(self.number_, 3))


class NamesItsGpu(Honest):
    """Fails where it has no GPU."""

    def fit(self, train, *, schema, budget, rng):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class KillsItsRunner(Honest):
    """Ends the process that Ray put on this node."""

    def fit(self, train, *, schema, budget, rng):
        process = psutil.Process()
        while not process.name().startswith("ray::"):
            process = process.parent()
        process.kill()
        time.sleep(60)


def kill_job():
    """End every process of the SLURM job that this one belongs to, this one last."""
    job = f"SLURM_JOB_ID={os.environ['SLURM_JOB_ID']}\0"
    for process in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{process}/environ") as file:
                is_of_job = job in file.read()
            if is_of_job and process != os.getpid():
                os.kill(process, signal.SIGKILL)
        except OSError:
            continue
    os.kill(os.getpid(), signal.SIGKILL)


class KillsItsJob(Honest):
    """Ends the job that runs it without a word, as a machine without memory may."""

    def fit(self, train, *, schema, budget, rng):
        kill_job()


class Raises(Honest):
    def fit(self, train, *, schema, budget, rng):
        raise RuntimeError("cannot\nlearn <script>")


class RaisesBase(Honest):
    def fit(self, train, *, schema, budget, rng):
        raise BaseException("odd")


class Exits(Honest):
    def fit(self, train, *, schema, budget, rng):
        sys.exit(0)


class ExitsAtOnce(Honest):
    def fit(self, train, *, schema, budget, rng):
        os._exit(0)


class Segfaults(Honest):
    def sample(self, n, *, rng):
        ctypes.string_at(0)


class Hangs(Honest):
    def fit(self, train, *, schema, budget, rng):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        time.sleep(600)


class FillsMemory(Honest):
    def fit(self, train, *, schema, budget, rng):
        hoard = []
        while True:
            hoard.append(np.ones(2_000_000))


class AsksTooMuch(Honest):
    def fit(self, train, *, schema, budget, rng):
        np.ones(10**15)


class Prints(Honest):
    def fit(self, train, *, schema, budget, rng):
        block = "x" * (1 << 20)
        for _ in range(1024):
            sys.stdout.write(block)
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class ForksAndReturns(Honest):
    def fit(self, train, *, schema, budget, rng):
        os.fork()
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class NoMethods:
    pass


class WrongOutput(Honest):
    """Returns a table that breaks the Schema in the way it is told."""

    def __init__(self, how="nothing"):
        self.how = how

    def sample(self, n, *, rng):
        table = super().sample(n, rng=rng)
        x = table["x"].to_numpy(copy=True)
        match self.how:
            case "nothing":
                return None
            case "text":
                return "a table"
            case "empty":
                return table.iloc[:0]
            case "rows":
                return table.iloc[:-1]
            case "a column less":
                return table.drop(columns="x")
            case "a column more":
                return table.assign(extra=1)
            case "renamed":
                return table.rename(columns={"x": "../x"})
            case "dtype":
                return table.assign(x=x.astype(str))
            case "nan":
                x[0] = np.nan
            case "inf":
                x[0] = np.inf
            case "bounds":
                x[0] = 1e9
            case "fraction":
                return table.assign(visits=table["visits"] + 0.5)
            case "category":
                return table.assign(city=["Atlantis", *table["city"].astype(str)[1:]])
            case "missing":
                return table.assign(city=[None, *table["city"].astype(str)[1:]])
            case "index":
                return pd.concat([table.iloc[:1], table.iloc[:-1]])
        return table.assign(x=x)


class Overspends(Honest):
    """Claims a budget that its ledger does not support."""

    def __init__(self, factor=2.0):
        self.factor = factor

    @property
    def ledger(self):
        from syntharena.bench.ledger import Event

        return [Event("laplace", 1.0, 1.0 / self.factor)] if self.factor else []


class UsesGlobalRandomness(Honest):
    def sample(self, n, *, rng):
        return self.train_.iloc[np.random.randint(len(self.train_), size=n)].reset_index(drop=True)  # noqa: NPY002


class ChangesTrain(Honest):
    def fit(self, train, *, schema, budget, rng):
        train.loc[0, "x"] = 5.0
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class BadEvaluator:
    """Returns what no evaluator may return."""

    def __init__(self, how="nan"):
        self.how = how

    @property
    def metrics(self):
        from syntharena.bench.contracts import Metric

        return (
            Metric("good_score", "fidelity", best=1.0, worst=0.0, definition="always one half"),
            Metric("bad_score", "fidelity", best=1.0, worst=0.0, definition="never right"),
        )

    def evaluate(self, tables, *, schema, rng):
        match self.how:
            case "nan":
                return {"good_score": 0.5, "bad_score": float("nan")}
            case "range":
                return {"good_score": 0.5, "bad_score": 2.0}
            case "absent":
                return {"good_score": 0.5}
            case "undeclared":
                return {"good_score": 0.5, "bad_score": 0.5, "surprise_score": 1.0}
            case "raises":
                raise ZeroDivisionError("of course")
            case "segfault":
                ctypes.string_at(0)
