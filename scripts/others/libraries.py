"""The libraries: how each is called, and what its fitted model shows.

Every library is called as its documentation says, with its defaults; the public domain is handed
over wherever an argument for it is documented. A library is a function of LIBRARIES that fits one
of its methods to a ``Task``. Imports nothing of this project; one of its files, which stands alone
too, fills in for modules that synthcity imports and never calls.
"""

from __future__ import annotations

import importlib
import json
import math
import random
import runpy
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

BINS = 32  # uniform bins between public bounds, for libraries that leave the edges to the caller
STAND_INS = runpy.run_path(f"{Path(__file__).parents[2]}/generators/foreign/stand_ins.py")


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


def synthcity(name: str, task: Task) -> Fitted:
    """Fit a privacy plugin of synthcity.

    No argument takes a domain: encoders and the range of generated values are read off the private
    table. Its default random_state is 0 in every run; here it is the seed of the run.
    """
    STAND_INS["install"](STAND_INS["SYNTHCITY"])
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
