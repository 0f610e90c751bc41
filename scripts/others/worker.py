"""Fit a differentially private synthesizer of another library and write what came out.

This file stands alone: it runs on the Python, numpy and pandas of each library's own environment
(README.md beside it) and imports nothing of this project. Files go in, files come out.

    worker.py --method M --pair DIR --epsilon 1 --delta 1e-5 --runs 0:200 --rows 5000 --out F.npz
    worker.py --method M --pair DIR --check-schema CATEGORY --runs 0:5 --rows 2000 --out F.json
    worker.py --method M --table T.csv --domain S.json --rows N --out F.csv --seconds-out C.json

DIR holds without.csv, with.csv (the same rows and one more) and schema.json, the public domain:
{column: {"kind": "categorical", "categories": [...]}} or {"kind": "integer" or "continuous",
"minimum": a, "maximum": b}. Every library is called as its documentation says, with its defaults;
the public domain is handed over wherever an argument for it is documented. --set NAME=JSON changes
an argument of the library's constructor.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import json
import math
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

BINS = 32  # uniform bins between public bounds, for libraries that leave the edges to the caller


@dataclass
class Task:
    """What a library is asked to fit."""

    table: pd.DataFrame
    domain: dict[str, dict[str, Any]]
    epsilon: float
    delta: float
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def discrete(self) -> list[str]:
        """Names of the categorical columns."""
        return [name for name, column in self.domain.items() if column["kind"] == "categorical"]

    @property
    def numeric(self) -> list[str]:
        """Names of the columns with public bounds."""
        return [name for name in self.domain if name not in self.discrete]

    def bounds(self, name: str) -> tuple[float, float]:
        """Public bounds of a numeric column."""
        return self.domain[name]["minimum"], self.domain[name]["maximum"]


@dataclass
class Fitted:
    """A fitted model: how to sample it, and what it shows without being sampled."""

    sample: Callable[[int], pd.DataFrame]
    default_rows: float = math.nan  # rows it would return if nobody asked for a number
    vocabulary: dict[str, list[Any]] = field(default_factory=dict)  # values that the model stores


# ---------------------------------------------------------------------------------- the libraries


def smartnoise(name: str, task: Task) -> Fitted:
    """Fit a synthesizer of smartnoise-synth.

    Bounds go in as transformers. No argument takes a domain of categories: the library reads it
    off the private column. With public_domain=true the transformer is fitted beforehand on a table
    made of the public domain, which the library allows and its documentation does not ask for.
    """
    from snsynth import Synthesizer
    from snsynth.transform import BinTransformer, MinMaxTransformer
    from snsynth.transform.table import TableTransformer

    settings = dict(task.settings)
    public = settings.pop("public_domain", False)
    if name != "mwem":  # a pure mechanism
        settings["delta"] = task.delta
    if name in ("dpctgan", "patectgan"):
        settings.setdefault("verbose", False)
    style, bounded = (
        ("cube", BinTransformer) if name in ("mst", "aim", "mwem") else ("gan", MinMaxTransformer)
    )
    numbers = {n: bounded(lower=task.bounds(n)[0], upper=task.bounds(n)[1]) for n in task.numeric}
    model = Synthesizer.create(name, epsilon=float(task.epsilon), **settings)
    if public:
        transformer = TableTransformer.create(
            task.table, style=style, categorical_columns=task.discrete, constraints=numbers or None
        )
        transformer.fit(public_table(task.domain)[list(task.table)])
        model.fit(task.table, transformer=transformer)
    else:
        model.fit(task.table, transformer=numbers or None, categorical_columns=task.discrete)
    found = {
        str(column): list(label.categories)
        for column, transformer in zip(task.table, model._transformer.transformers, strict=True)
        for label in getattr(transformer, "transformers", [transformer])  # a chain, or the one
        if hasattr(label, "categories")
    }
    rows = getattr(model, "num_rows", None)
    return Fitted(model.sample, math.nan if rows is None else rows, found)


def public_table(domain: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Build a table that holds every public category, and the bounds of numbers."""
    values = {
        name: column.get("categories") or [column["minimum"], column["maximum"]]
        for name, column in domain.items()
    }
    rows = max(map(len, values.values()))
    return pd.DataFrame(
        {name: [known[i % len(known)] for i in range(rows)] for name, known in values.items()}
    )


# synthcity imports these at the top of modules that its privacy plugins never call.
SYNTHCITY_ABSENT = [
    "torchvision",
    "monai",
    "tsai",
    "shap",
    "lifelines",
    "torchtuples",
    "pycox",
    "xgbse",
    "redis",
    "google",
    "pyparsing",
    "statsmodels",
    "nflows",
    "decaf",
    "arfpy",
    "fflows",
    "pykeops",
    "fastai",
    "fastcore",
    "be_great",
]


class StandIn(ModuleType):
    """A module any member of which is a class that does nothing."""

    __path__ = []  # noqa: RUF012 - what makes it a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *_, **__: None})


class StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins after everything that is installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find a module of a package that is not installed."""
        if name.partition(".")[0] in SYNTHCITY_ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        """Make a stand-in."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


def synthcity(name: str, task: Task) -> Fitted:
    """Fit a privacy plugin of synthcity.

    No argument takes a domain: encoders and the range of generated values are read off the private
    table. Its default random_state is 0 in every run; here it is the seed of the run.
    """
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())
    module = importlib.import_module(f"synthcity.plugins.privacy.plugin_{name}")
    settings = dict(task.settings)
    if name != "privbayes":  # a pure mechanism
        settings["delta"] = task.delta
    model = module.plugin(
        epsilon=task.epsilon,
        random_state=task.seed,
        workspace=Path(tempfile.mkdtemp(prefix="synthcity")),
        **settings,
    )
    model.fit(task.table)
    schema = model.schema()
    found = {
        column: list(schema[column].choices)
        if hasattr(schema[column], "choices")
        else list(range(int(schema[column].low), int(schema[column].high) + 1))
        for column in task.discrete
    }
    return Fitted(lambda rows: model.generate(count=rows).dataframe(), len(task.table), found)


class OnlyRuntimeErrors:
    """Stands in for the module warnings in DataSynthesizer.lib.PrivBayes.

    That turns every later warning of the process into an error, to notice one of SciPy; with the
    deprecations of today's pandas it would never get through.
    """

    @staticmethod
    def filterwarnings(action: Any) -> None:
        """Turn only the kind of warning into an error that the caller catches."""
        warnings.filterwarnings(action, category=RuntimeWarning)


def datasynthesizer(_: str, task: Task) -> Fitted:
    """Fit DataSynthesizer's correlated attribute mode, its PrivBayes.

    Types, domain and bounds go in as documented. Its default seed is 0 in every run; here it is
    the seed of the run.
    """
    from DataSynthesizer.DataDescriber import DataDescriber
    from DataSynthesizer.DataGenerator import DataGenerator
    from DataSynthesizer.lib import PrivBayes

    PrivBayes.warnings = OnlyRuntimeErrors()
    folder = Path(tempfile.mkdtemp(prefix="datasynthesizer"))
    task.table.to_csv(folder / "table.csv", index=False)
    known = {name: task.domain[name]["categories"] for name in task.discrete}
    (folder / "domain.json").write_text(json.dumps(known))
    kinds = {"integer": "Integer", "continuous": "Float"}
    types = {name: kinds.get(column["kind"], "String") for name, column in task.domain.items()}
    types.update({name: "Integer" for name in known if isinstance(known[name][0], int)})
    describer = DataDescriber()
    describer.describe_dataset_in_correlated_attribute_mode(
        str(folder / "table.csv"),
        epsilon=task.epsilon,
        attribute_to_datatype=types,
        attribute_to_is_categorical={name: name in known for name in task.domain},
        attribute_to_is_candidate_key=dict.fromkeys(task.domain, False),
        categorical_attribute_domain_file=str(folder / "domain.json"),
        numerical_attribute_ranges={name: list(task.bounds(name)) for name in task.numeric},
        seed=task.seed,
        **task.settings,
    )
    describer.save_dataset_description_to_file(str(folder / "description.json"))

    def sample(rows: int) -> pd.DataFrame:
        generator = DataGenerator()
        generator.generate_dataset_in_correlated_attribute_mode(
            rows, str(folder / "description.json"), seed=task.seed + 1
        )
        return generator.synthetic_dataset

    description = describer.data_description
    found = {
        name: description["attribute_description"][name]["distribution_bins"] for name in known
    }
    return Fitted(sample, description["meta"]["num_tuples"], found)


def dpmm(name: str, task: Task) -> Fitted:
    """Fit a pipeline of dpmm. Domain and bounds go in as documented; proc_epsilon stays 0.1."""
    pipelines = importlib.import_module("dpmm.pipelines")
    pipeline = {
        "mst": pipelines.MSTPipeline,
        "aim": pipelines.AIMPipeline,
        "privbayes": pipelines.PrivBayesPipeline,
    }[name]
    table = task.table.astype(dict.fromkeys(task.discrete, "category"))
    domain = {name: {"categories": task.domain[name]["categories"]} for name in task.discrete}
    for column in task.numeric:
        domain[column] = dict(zip(("lower", "upper"), task.bounds(column), strict=True))
    model = pipeline(epsilon=task.epsilon, delta=task.delta, **task.settings)
    model.fit(table, domain)
    found = {column: [value] for column, value in model.proc.static_columns.items()}
    found.update(model.proc.categories)
    return Fitted(lambda rows: model.generate(n_records=rows), vocabulary=found)


def opendp(name: str, task: Task) -> Fitted:
    """Fit a contingency table of OpenDP with public keys and cuts.

    Keys and cuts of all columns make it pure zCDP, which it is asked for as rho: the largest with
    (epsilon, delta), cut to four digits, because its own shares of a longer one can add up to more
    than it by rounding, and it then refuses. Noise comes from the operating system, without a seed.
    """
    import opendp.prelude as dp
    import polars as pl

    dp.enable_features("contrib")
    rho = largest_rho(task.epsilon, task.delta)
    digit = 10.0 ** (math.floor(math.log10(rho)) - 3)
    rho = round(math.floor(rho / digit) * digit, 12)
    algorithm = {"mst": dp.mbi.MST, "aim": dp.mbi.AIM}[name](**task.settings)
    context = dp.Context.compositor(
        data=pl.from_pandas(task.table).lazy(),
        privacy_unit=dp.unit_of(contributions=1),
        privacy_loss=dp.loss_of(rho=rho),
        split_evenly_over=1,
    )
    cuts = {n: np.linspace(*task.bounds(n), BINS + 1)[1:-1].tolist() for n in task.numeric}
    table = (
        context.query()
        .select(*task.table)
        .contingency_table(
            keys={n: task.domain[n]["categories"] for n in task.discrete},
            cuts=cuts,
            algorithm=algorithm,
        )
        .release()
    )
    found = {n: list(table.keys[n]) for n in task.discrete}
    total = float(table.model.total)
    return Fitted(lambda rows: table.synthesize(rows).to_pandas(), total, found)


def largest_rho(epsilon: float, delta: float) -> float:
    """Largest rho whose zCDP implies (epsilon, delta)-DP (Canonne, Kamath, Steinke 2020)."""
    orders = 1 + np.logspace(-3, 5, 20_000)

    def spent(rho: float) -> float:
        exponent = (orders - 1) * (orders * rho - epsilon) + orders * np.log1p(-1 / orders)
        return float(np.min(exponent - np.log(orders - 1)))

    low, high = 0.0, epsilon + 1
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) <= math.log(delta) else (low, middle)
    return low


def toy(name: str, task: Task) -> Fitted:
    """Fit a histogram over the categorical columns, to try this file without any library.

    "toy_laplace" adds Laplace(1 / epsilon) to the cells of the public domain; "toy_copy" resamples
    the rows and stores their number and their categories.
    """
    rng = np.random.default_rng(task.seed)
    if name == "copy":
        found = {column: task.table[column].unique().tolist() for column in task.discrete}
        rows = len(task.table)
        return Fitted(lambda n: task.table.iloc[rng.integers(rows, size=n)], rows, found)
    known = [task.domain[column]["categories"] for column in task.discrete]
    cells = pd.MultiIndex.from_product(known, names=task.discrete)
    counts = task.table.groupby(task.discrete).size().reindex(cells, fill_value=0).to_numpy()
    noisy = np.clip(counts + rng.laplace(scale=1 / task.epsilon, size=len(cells)), 0, None)
    weights = noisy + 1e-12
    return Fitted(
        lambda n: cells[rng.choice(len(cells), n, p=weights / weights.sum())].to_frame(index=False),
        float(noisy.sum()),
        dict(zip(task.discrete, known, strict=True)),
    )


LIBRARIES: dict[str, tuple[Callable[[str, Task], Fitted], tuple[str, ...], tuple[str, ...]]] = {
    "smartnoise": (
        smartnoise,
        ("mst", "aim", "mwem", "pategan", "dpgan", "patectgan", "dpctgan"),
        ("snsynth", "snsynth.mst", "snsynth.aim", "snsynth.pytorch.nn"),
    ),
    "synthcity": (synthcity, ("pategan", "dpgan", "privbayes"), ()),
    "datasynthesizer": (datasynthesizer, ("privbayes",), ("DataSynthesizer.DataDescriber",)),
    "dpmm": (dpmm, ("mst", "aim", "privbayes"), ("dpmm.pipelines",)),
    "opendp": (opendp, ("mst", "aim"), ("opendp.prelude", "polars", "mbi")),
    "toy": (toy, ("laplace", "copy"), ()),
}
METHODS = [f"{library}_{name}" for library, entry in LIBRARIES.items() for name in entry[1]]


def fit(method: str, task: Task) -> Fitted:
    """Fit a method under the seed of its run; what the library prints goes to standard error."""
    library, _, name = method.partition("_")
    random.seed(task.seed)
    np.random.seed(task.seed)  # noqa: NPY002 - what the libraries draw from
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(task.seed)
    with redirect_stdout(sys.stderr):
        return LIBRARIES[library][0](name, task)


def load_library(method: str) -> None:
    """Import what the method uses, so that imports are no part of its cost."""
    for module in LIBRARIES[method.partition("_")[0]][2]:
        importlib.import_module(module)


# -------------------------------------------------------------------------------------- the modes


def read(path: Path, domain: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Read a table with the types of its public domain; a column with text categories is text."""
    types: dict[str, Any] = {}
    for name, column in domain.items():
        texts = any(isinstance(category, str) for category in column.get("categories", []))
        types[name] = {"continuous": float, "integer": int}.get(
            column["kind"], str if texts else int
        )
    return pd.read_csv(path, dtype=types, keep_default_na=False)[list(domain)]


def as_text(values: Any) -> np.ndarray:
    """Texts of categories, whole numbers without a point, so that libraries' types compare."""
    return np.array([str(int(v)) if is_whole(v) else str(v) for v in values], dtype=object)


def is_whole(value: Any) -> bool:
    """Whether a value is a number without fraction."""
    return isinstance(value, (int, float, np.integer, np.floating)) and float(value).is_integer()


def extra_record(without: pd.DataFrame, with_: pd.DataFrame) -> tuple[Any, ...]:
    """Return the one row that with.csv has more."""
    rows = [Counter(frame.itertuples(index=False, name=None)) for frame in (without, with_)]
    (extra,) = (rows[1] - rows[0]).elements()
    return extra


@dataclass
class Attack:
    """Simple features of synthetic rows that betray the extra record."""

    extra: tuple[Any, ...]
    middles: dict[str, float]  # halfway from the common value of a number to the extra's

    @classmethod
    def against(cls, without: pd.DataFrame, with_: pd.DataFrame, task: Task) -> Attack:
        """Prepare for a pair."""
        extra = extra_record(without, with_)
        named = dict(zip(with_, extra, strict=True))
        return cls(extra, {n: (without[n].median() + named[n]) / 2 for n in task.numeric})

    def names(self, columns: list[str]) -> list[str]:
        """Names of the features."""
        return [
            "equal_rows",
            *(f"share:{column}" for column in columns),
            "rows",
            "default_rows",
            "vocabulary",
        ]

    def features(self, fitted: Fitted, synthetic: pd.DataFrame, columns: list[str]) -> list[float]:
        """Count what looks like the extra record.

        Rows like it in all columns; per column the share of rows with its value, or on its side of
        the middle; rows; rows by default; columns whose stored vocabulary has its value.
        """
        alike = np.ones((len(synthetic), len(columns)), dtype=bool)
        stored = math.nan
        for position, (name, value) in enumerate(zip(columns, self.extra, strict=True)):
            if name in self.middles:
                numbers = synthetic[name].to_numpy(dtype=float)
                alike[:, position] = (numbers > self.middles[name]) == (value > self.middles[name])
                continue
            alike[:, position] = as_text(synthetic[name]) == as_text([value])[0]
            if name in fitted.vocabulary:
                held = as_text([value])[0] in set(as_text(fitted.vocabulary[name]))
                stored = held + (0 if math.isnan(stored) else stored)
        shares = alike.mean(0) if len(alike) else np.zeros(len(columns))
        equal = float(alike.all(1).sum())
        return [equal, *map(float, shares), len(synthetic), fitted.default_rows, stored]


def audit(options: argparse.Namespace) -> None:
    """Fit on both tables of a pair in every run and store the features of each world."""
    domain = json.loads((options.pair / "schema.json").read_text())
    tables = [read(options.pair / f"{name}.csv", domain) for name in ("without", "with")]
    columns = list(domain)
    attack = Attack.against(*tables, task=asked(options, tables[0], domain, 0))
    names = attack.names(columns)
    runs = list(range(*options.runs))
    features = np.full((2, len(runs), len(names)), math.nan)
    errors = np.full((2, len(runs)), "", dtype="U300")
    seconds = np.full((2, len(runs)), math.nan)
    for position, run in enumerate(runs):
        for world, table in enumerate(tables):
            task = asked(options, table, domain, seed_of(options.seed, run, world))
            started = cpu_seconds()
            try:
                fitted = fit(options.method, task)
                synthetic = sampled(fitted, options.rows)
                features[world, position] = attack.features(fitted, synthetic, columns)
            except Exception as error:
                errors[world, position] = f"{type(error).__name__}: {error}"[:300]
            seconds[world, position] = cpu_seconds() - started
        done = slice(0, position + 1)
        np.savez(
            options.out,
            features0=features[0, done],
            features1=features[1, done],
            names=np.array(names),
            runs=np.array(runs[done]),
            errors0=errors[0, done],
            errors1=errors[1, done],
            seconds0=seconds[0, done],
            seconds1=seconds[1, done],
        )


def check_schema(options: argparse.Namespace) -> None:
    """Say whether a category outside the public domain comes out, and what else tells of it."""
    domain = json.loads((options.pair / "schema.json").read_text())
    report = []
    for run in range(*options.runs):
        for world, name in enumerate(("without", "with")):
            table = read(options.pair / f"{name}.csv", domain)
            task = asked(options, table, domain, seed_of(options.seed, run, world))
            entry: dict[str, Any] = {"run": run, "table": name, "rows_fitted": len(table)}
            try:
                fitted = fit(options.method, task)
                entry.update(told(fitted, sampled(fitted, options.rows), task, options.category))
            except Exception as error:
                entry["error"] = f"{type(error).__name__}: {error}"[:300]
            report.append(entry)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


def told(fitted: Fitted, synthetic: pd.DataFrame, task: Task, category: str) -> dict[str, Any]:
    """Count what lies outside the public domain, in the rows and in the stored vocabulary."""
    outside, stored, hits = {}, {}, np.zeros(len(synthetic), dtype=bool)
    for name in task.discrete:
        public = set(as_text(task.domain[name]["categories"]))
        values = as_text(synthetic[name])
        hits |= values == category
        outside[name] = int(sum(value not in public for value in values))
        if name in fitted.vocabulary:
            stored[name] = sorted(set(as_text(fitted.vocabulary[name])) - public)
    for name in task.numeric:
        low, high = task.bounds(name)
        numbers = synthetic[name].to_numpy(dtype=float)
        outside[name] = int(((numbers < low) | (numbers > high)).sum())
    return {
        "rows": len(synthetic),
        "default_rows": fitted.default_rows,
        "rows_with_category": int(hits.sum()),
        "rows_outside": outside,
        "vocabulary_outside": stored,
    }


def one_table(options: argparse.Namespace) -> None:
    """Fit once, write synthetic rows, and say what it cost."""
    domain = json.loads(options.domain.read_text())
    table = read(options.table, domain)
    load_library(options.method)
    marks = [(cpu_seconds(), time.perf_counter())]
    fitted = fit(options.method, asked(options, table, domain, options.seed))
    marks.append((cpu_seconds(), time.perf_counter()))
    synthetic = sampled(fitted, options.rows)
    marks.append((cpu_seconds(), time.perf_counter()))
    synthetic.to_csv(options.out, index=False)
    cost = {
        "method": options.method,
        "settings": options.settings,
        "epsilon": options.epsilon,
        "delta": options.delta,
        "rows_fitted": len(table),
        "rows": len(synthetic),
        "default_rows": fitted.default_rows,
        "fit_cpu_seconds": marks[1][0] - marks[0][0],
        "sample_cpu_seconds": marks[2][0] - marks[1][0],
        "fit_wall_seconds": marks[1][1] - marks[0][1],
        "sample_wall_seconds": marks[2][1] - marks[1][1],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if options.seconds_out:
        options.seconds_out.write_text(json.dumps(cost, indent=1) + "\n")


def asked(options: argparse.Namespace, table: pd.DataFrame, domain: Any, seed: int) -> Task:
    """Put together what a library is asked."""
    return Task(table, domain, options.epsilon, options.delta, seed, dict(options.settings))


def sampled(fitted: Fitted, rows: int) -> pd.DataFrame:
    """Sample rows; what the library prints goes to standard error."""
    with redirect_stdout(sys.stderr):
        return pd.DataFrame(fitted.sample(rows)).reset_index(drop=True)


def seed_of(seed: int, run: int, world: int) -> int:
    """Seed of one fit, below 2**31, for libraries that take no larger one."""
    return int(np.random.SeedSequence([seed, run, world]).generate_state(1)[0] >> 1)


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument("--pair", type=Path, help="folder of without.csv, with.csv, schema.json")
    parser.add_argument("--table", type=Path, help="one table instead of a pair")
    parser.add_argument("--domain", type=Path, help="public domain of --table")
    parser.add_argument("--check-schema", dest="category", help="category outside the domain")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--runs", default="0:20", help="first:after the last")
    parser.add_argument("--rows", type=int, required=True, help="synthetic rows of each fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=JSON")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds-out", type=Path)
    options = parser.parse_args()
    if (options.pair is None) == (options.table is None):
        parser.error("hand over one of --pair and --table")
    if options.table and not options.domain:
        parser.error("--table needs --domain")
    options.runs = tuple(map(int, options.runs.split(":")))
    pairs = (setting.partition("=") for setting in options.settings)
    options.settings = {name: json.loads(value) for name, _, value in pairs}
    return options


def main() -> None:
    """Run one of the three modes."""
    warnings.filterwarnings("ignore")
    options = parsed()
    if options.table:
        one_table(options)
    elif options.category:
        check_schema(options)
    else:
        audit(options)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
