"""How each peer's library is called: as its documentation says, with its defaults.

Each function imports its library and returns what fits the table; that returns what draws rows.
Whatever a library leaves to its caller, such as writing text as numbers, belongs to the fit. The
file imports nothing of this project but what stands alone too.
"""

from __future__ import annotations

import importlib
import runpy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Sample = Callable[[int], pd.DataFrame]
STAND_INS = runpy.run_path(f"{Path(__file__).parents[3]}/generators/foreign/stand_ins.py")


@dataclass(frozen=True)
class Task:
    """What a library is asked to fit.

    Parameters
    ----------
    table : DataFrame
        Whole numbers and text, without missing values.
    target : str
        A column of text.
    settings : dict
        Arguments of the library's constructor.
    epochs : int
        For whoever has them.
    seed : int
        Below 2**31.
    """

    table: pd.DataFrame
    target: str
    settings: dict[str, Any]
    epochs: int
    seed: int

    @property
    def discrete(self) -> list[str]:
        """Names of the columns of text."""
        return [str(n) for n in self.table if not pd.api.types.is_numeric_dtype(self.table[n])]


@dataclass(frozen=True)
class Codes:
    """Columns of text as numbers, for libraries that leave that to the caller.

    Parameters
    ----------
    known : dict of str to ndarray
        The sorted values of each column of text.
    """

    known: dict[str, np.ndarray]

    @classmethod
    def of(cls, task: Task) -> Codes:
        """Learn the values of a table."""
        return cls({name: np.unique(task.table[name].astype(str)) for name in task.discrete})

    def coded(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the positions of text."""
        found = {n: np.searchsorted(known, table[n].astype(str)) for n, known in self.known.items()}
        return table.assign(**found)

    def text(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the text at the nearest positions."""
        found = {}
        for name, known in self.known.items():
            places = np.rint(table[name].to_numpy(dtype=float)).astype(int)
            found[name] = known[places.clip(0, len(known) - 1)]
        return table.assign(**found)


def ctgan(task: Task, kind: str) -> Callable[[], Sample]:
    """Fit a network of SDV's package ctgan."""
    import ctgan as library

    def fit() -> Sample:
        model = getattr(library, kind)(epochs=task.epochs, **task.settings)
        model.fit(task.table, task.discrete)
        return model.sample

    return fit


def gaussian_copula(task: Task, _: str) -> Callable[[], Sample]:
    """Fit SDV's Gaussian copula; types are handed over, not guessed."""
    from sdv.metadata import Metadata
    from sdv.single_table import GaussianCopulaSynthesizer

    columns = {
        name: {"sdtype": "categorical" if name in task.discrete else "numerical"}
        for name in task.table
    }
    metadata = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}})

    def fit() -> Sample:
        model = GaussianCopulaSynthesizer(metadata, **task.settings)
        model.fit({"table": task.table})
        return lambda rows: model.sample(num_rows=rows)["table"]

    return fit


def synthcity(task: Task, kind: str) -> Callable[[], Sample]:
    """Fit a plugin of synthcity; ``kind`` is FAMILY.NAME."""
    STAND_INS["install"](STAND_INS["SYNTHCITY"])
    family, name = kind.split(".")
    module = importlib.import_module(f"synthcity.plugins.{family}.plugin_{name}")
    loaders = importlib.import_module("synthcity.plugins.core.dataloader")
    settings = dict(task.settings)
    if settings.pop("epochs", True):
        settings["n_iter"] = task.epochs

    def fit() -> Sample:
        workspace = Path(tempfile.mkdtemp(prefix="synthcity"))
        model = module.plugin(random_state=task.seed, workspace=workspace, **settings)
        model.fit(loaders.GenericDataLoader(task.table, target_column=task.target))
        return lambda rows: model.generate(count=rows).dataframe()

    return fit


def arfpy(task: Task, _: str) -> Callable[[], Sample]:
    """Fit arfpy's forests and their densities."""
    from arfpy import arf

    def fit() -> Sample:
        model = arf.arf(x=task.table, random_state=task.seed, **task.settings)
        model.forde()
        return lambda rows: model.forge(n=rows)

    return fit


def forest_diffusion(task: Task, _: str) -> Callable[[], Sample]:
    """Fit ForestDiffusion with the target as its label."""
    from ForestDiffusion import ForestDiffusionModel

    def fit() -> Sample:
        codes = Codes.of(task)
        names = [name for name in task.table if name != task.target]
        places = {sort: [] for sort in ("cat_indexes", "bin_indexes", "int_indexes")}
        for place, name in enumerate(names):
            values = len(codes.known.get(name, ()))
            sort = "int_indexes" if not values else "cat_indexes" if values > 2 else "bin_indexes"
            places[sort].append(place)
        rows = codes.coded(task.table)
        model = ForestDiffusionModel(
            rows[names].to_numpy(dtype=float),
            label_y=rows[task.target].to_numpy(),
            seed=task.seed,
            n_jobs=1,
            **places,
            **task.settings,
        )

        def sample(rows: int) -> pd.DataFrame:
            made = pd.DataFrame(model.generate(batch_size=rows), columns=[*names, task.target])
            return codes.text(made)

        return sample

    return fit


def seqtrees(task: Task, _: str) -> Callable[[], Sample]:
    """Fit seqtrees; its own preprocessor encodes text."""
    from seqtrees import SequentialTreeSynthesizer

    def fit() -> Sample:
        model = SequentialTreeSynthesizer(
            random_state=task.seed, preprocessor="ifcfill", **task.settings
        )
        model.fit(task.table)
        return model.sample

    return fit


def imblearn(task: Task, _: str) -> Callable[[], Sample]:
    """Let SMOTENC add rows of each class by its share; it does everything when it draws."""
    from imblearn.over_sampling import SMOTENC

    def fit() -> Sample:
        features = task.table.drop(columns=task.target)
        labels = task.table[task.target]
        counts = labels.value_counts()
        text = [name for name in task.discrete if name != task.target]

        def sample(rows: int) -> pd.DataFrame:
            added = (counts * (rows / len(labels))).round().astype(int)
            added.iloc[0] += rows - added.sum()
            wanted = (counts + added).to_dict()
            model = SMOTENC(text, sampling_strategy=wanted, random_state=task.seed, **task.settings)
            made, classes = model.fit_resample(features, labels)
            return made.assign(**{task.target: classes}).iloc[len(labels) :]

        return sample

    return fit


def pgmpy(task: Task, _: str) -> Callable[[], Sample]:
    """Let pgmpy climb to a network of bins, and draw numbers from the rows of their bin.

    The library takes discrete tables: numbers are cut into ``bins`` of equal shares.
    """
    from pgmpy.causal_discovery import HillClimbSearch
    from pgmpy.models import DiscreteBayesianNetwork
    from pgmpy.parameter_estimator import DiscreteBayesianEstimator

    bins, indegree = task.settings["bins"], task.settings["max_indegree"]

    def fit() -> Sample:
        binned, members = cut(task, bins)
        search = HillClimbSearch("bic-d", max_indegree=indegree, show_progress=False)
        edges = search.set_params(return_type="dag").fit(binned).causal_graph_.edges()
        model = DiscreteBayesianNetwork(edges)
        model.add_nodes_from(binned.columns)
        model.fit(binned, estimator=DiscreteBayesianEstimator())
        rng = np.random.default_rng(task.seed)

        def sample(rows: int) -> pd.DataFrame:
            made = model.simulate(rows, seed=task.seed, show_progress=False)
            return made.assign(**{n: of_bins(made[n], own, rng) for n, own in members.items()})

        return sample

    return fit


def cut(task: Task, bins: int) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Cut numbers into bins of equal shares; return also the sorted numbers of each bin."""
    found, members = task.table.astype(str), {}
    for name in task.table.columns.difference(task.discrete):
        values = np.sort(task.table[name].to_numpy())
        edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))[1:-1]
        found[name] = np.digitize(task.table[name], edges).astype(str)
        parts = np.split(values, np.searchsorted(values, edges))
        members[name] = {str(place): part for place, part in enumerate(parts)}
    return found, members


def of_bins(
    places: pd.Series, members: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Draw for each bin one of its numbers."""
    drawn = np.empty(len(places))
    for place, values in members.items():
        chosen = (places == place).to_numpy()
        drawn[chosen] = rng.choice(values, chosen.sum())
    return drawn


def mostlyai(task: Task, _: str) -> Callable[[], Sample]:
    """Fit the network of MOSTLY AI's engine."""
    from mostlyai.engine import TabularARGN

    def fit() -> Sample:
        model = TabularARGN(max_epochs=task.epochs, random_state=task.seed, **task.settings)
        model.fit(task.table)
        return lambda rows: model.sample(n_samples=rows)

    return fit


LIBRARIES: dict[str, Callable[[Task, str], Callable[[], Sample]]] = {
    "ctgan": ctgan,
    "gaussian_copula": gaussian_copula,
    "synthcity": synthcity,
    "arfpy": arfpy,
    "forest_diffusion": forest_diffusion,
    "seqtrees": seqtrees,
    "imblearn": imblearn,
    "pgmpy": pgmpy,
    "mostlyai": mostlyai,
}
