"""Fairness: whether groups fare differently, in the synthetic table and by a model learned from it.

Every measure compares the groups of one sensitive column; what stands for the table is its worst
column. The same measures of a model learned from train, and of train itself, say what the data
brought along. They describe differences; whether a difference is unjust they cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bench.contracts import Metric, Picture, Tables
from ..bench.schema import Schema
from . import gaps
from .contingency import total_variation
from .decisions import Decisions
from .gaps import Value
from .groups import Groups, Labels, sensitive_groups
from .intervals import LEVEL
from .predictors import MODELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROUTES = {"tstr": "", "trtr": "trtr_"}
POSITIVE = (
    "; the largest over classes, each against the rest (of two classes both give the same; a "
    "number is in the class above or in that below its median in train)"
)
OF_MODEL = {
    "demographic_parity_error": "Largest difference between two groups of the share of rows for "
    f"which the class is predicted{POSITIVE}. Fairlearn, demographic_parity_difference",
    "equalised_odds_error": "Largest difference between two groups of the true positive rate or of "
    f"the false positive rate{POSITIVE}. Hardt et al. 2016; Fairlearn, equalized_odds_difference",
    "ftu_error": "Fairness through unawareness: largest change of the share of rows for which the "
    "class is predicted when the sensitive value of all rows is set to one group's and then to "
    f"another's{POSITIVE}. van Breugel et al. 2021 (DECAF), for more than two groups",
}
OF_GROUP = {
    "auroc_score": "Area under the ROC curve among the rows of one group; more than two classes: "
    "mean of one against the rest",
    "recall_score": "Recall among the rows of one group, of the second class; more than two "
    "classes: mean over classes",
}
OF_TABLE = {
    "label_parity_error": "Largest difference between two groups of the share of a class among "
    f"the synthetic labels{POSITIVE}",
    "label_parity_change_error": "How far label_parity_error is from that of train",
    "group_representation_error": "Total variation distance between the shares of groups in train "
    "and in the synthetic table; a missing value is a group of its own",
    "group_label_representation_error": "Total variation distance between the shares of group x "
    "class cells in train and in the synthetic table",
}
OF_TRAIN = {
    "train_label_parity_error": "label_parity_error of train: what the data brought along",
}
SHOWN = 12  # groups in a picture


class Fairness:
    """Differences between groups, of a downstream model and of the table.

    Models are learned from synthetic rows (TSTR) and from train (``trtr_``), both tested on
    holdout. Groups of fewer than 30 rows (ten of each class, for AUROC) are not compared. The
    interval of a difference holds for all groups of the column at once.

    Parameters
    ----------
    model : {"xgboost", "linear", "forest", "mlp"}
        The downstream model.

    Raises
    ------
    ValueError
        If the model is unknown.
    """

    def __init__(self, model: str = "xgboost") -> None:
        if model not in MODELS:
            raise ValueError(
                f"model must be one of {', '.join(MODELS)}, got {model!r}; set model=xgboost"
            )
        self.model = model
        self.metrics = tuple(_declared())

    def evaluate(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Mapping[str, Value]:
        """Return every measure, or the reason why it is not available."""
        if reason := tables.lacking("train", "holdout", "synthetic"):
            return dict.fromkeys((m.name for m in self.metrics), reason)
        sensitive = sensitive_groups(tables, schema)
        if not sensitive:
            reason = "the Schema names no sensitive column"
            return dict.fromkeys((m.name for m in self.metrics), reason)
        values = _each_column(sensitive, _representation(tables))
        if schema.target is not None:
            labels = Labels(schema[schema.target], tables.train)
            values |= _each_column(sensitive, _of_labels(tables, labels))
            for route, prefix in ROUTES.items():
                decisions = Decisions.by(self.model, route, tables, schema, labels)
                of_model = {
                    "demographic_parity_error": decisions.demographic_parity,
                    "equalised_odds_error": decisions.equalised_odds,
                    "ftu_error": decisions.unawareness,
                }
                of_group = {"auroc_score": decisions.areas, "recall_score": decisions.recalls}
                values |= _each_column(sensitive, of_model, prefix)
                values |= _each_group(sensitive, of_group, prefix)
        given = {key.partition("[")[0] for key in values}
        absent = [metric.name for metric in self.metrics if metric.name not in given]
        return values | dict.fromkeys(absent, "the table has no target")

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Sequence[Picture]:
        """Chart the groups of each sensitive column: how many, and how they are labelled."""
        sides = {"train": tables.train, "synthetic": tables.synthetic}
        if any(table.empty for table in sides.values()):
            return []
        found = []
        for groups in sensitive_groups(tables, schema):
            name = groups.column.name
            shares = {
                side: _shares(groups.codes(table), len(groups)) for side, table in sides.items()
            }
            shown = np.argsort(-shares["train"], kind="stable")[:SHOWN]
            shown = shown if groups.column.is_discrete else np.sort(shown)
            names = [groups.names[group].removeprefix(f"{name}=") for group in shown]
            shares = {side: values[shown] for side, values in shares.items()}
            found.append(
                Picture(
                    title=f"Groups of {name}",
                    caption="Share of rows in each group. Equal bars are good: nobody was dropped "
                    "or made up.",
                    draw=partial(_draw_bars, names, shares, "share of rows"),
                )
            )
            if schema.target is None:
                continue
            labels = Labels(schema[schema.target], tables.train)
            counted = {side: _label_counts(groups, labels, table) for side, table in sides.items()}
            rates = {
                side: (hits[-1] / np.maximum(hits.sum(axis=0), 1))[shown]
                for side, hits in counted.items()
            }
            found.append(
                Picture(
                    title=f"{labels.names[-1]} by {name}",
                    caption="Share of this class in each group. Bars of one colour differ where "
                    "groups are labelled differently; train shows what the data brought along.",
                    draw=partial(_draw_bars, names, rates, f"share of {labels.names[-1]}"),
                )
            )
        return found


def _of_labels(tables: Tables, labels: Labels) -> dict[str, Callable[[Groups], Value]]:
    """Return the measures of the labels in the tables."""
    share = min(1.0, len(tables.synthetic) / len(tables.train))

    def change(groups: Groups) -> Value:
        sides = tables.synthetic, tables.train
        return gaps.change(*(_parity(groups, labels, tables.train, side, share) for side in sides))

    def cells(groups: Groups) -> Value:
        width = len(labels) + 1
        real, synthetic = (
            (groups.codes(table) + 1) * width + labels.codes(table) + 1
            for table in (tables.train, tables.synthetic)
        )
        return total_variation(
            np.concatenate([real, synthetic]), (len(groups) + 1) * width, len(real)
        )

    return {
        "label_parity_error": lambda groups: _parity(
            groups, labels, tables.train, tables.synthetic, share
        ),
        "train_label_parity_error": lambda groups: _parity(
            groups, labels, tables.train, tables.train, 1.0
        ),
        "label_parity_change_error": change,
        "group_label_representation_error": cells,
    }


def _parity(
    groups: Groups, labels: Labels, train: pd.DataFrame, table: pd.DataFrame, share: float
) -> Value:
    """Compare the labels of groups in ``table``, those that train fills twice over.

    ``share`` is what ``table`` has of the rows of train. A group that then has too few rows was
    made rare by the generator, which is a reason and no better parity.
    """
    sizes = _label_counts(groups, labels, train).sum(axis=0)
    needed = sizes * share >= 2 * gaps.LEAST
    if needed.sum() < 2:
        return gaps.TOO_FEW
    hits = _label_counts(groups, labels, table)[:, needed]
    found = hits.sum(axis=0)
    if found.min() < gaps.LEAST:
        rarest = np.flatnonzero(needed)[found.argmin()]
        return (
            f"{groups.names[rarest]} has {found.min()} labelled rows, fewer than {gaps.LEAST}; "
            f"train has {sizes[rarest]}"
        )
    return gaps.widest(hits, np.broadcast_to(found, hits.shape))


def _label_counts(groups: Groups, labels: Labels, table: pd.DataFrame) -> np.ndarray:
    """Rows of each class (axis 0) in each group (axis 1)."""
    flags = labels.codes(table)[:, None] == np.arange(len(labels))
    return gaps.counts(flags, groups.codes(table), len(groups))


def _representation(tables: Tables) -> dict[str, Callable[[Groups], Value]]:
    def shares(groups: Groups) -> Value:
        codes = [groups.codes(table) + 1 for table in (tables.train, tables.synthetic)]
        return total_variation(np.concatenate(codes), len(groups) + 1, len(codes[0]))

    return {"group_representation_error": shares}


def _each_column(
    sensitive: Sequence[Groups], measures: Mapping[str, Callable[[Groups], Value]], prefix: str = ""
) -> dict[str, Value]:
    """Measure every sensitive column, and keep the worst."""
    values: dict[str, Value] = {}
    for name, measure in measures.items():
        by_column = {groups.column.name: measure(groups) for groups in sensitive}
        values[prefix + name] = gaps.worst(list(by_column.values()))
        for column, value in by_column.items():
            values[f"{prefix}column_{name}[{column}]"] = value
    return values


def _each_group(
    sensitive: Sequence[Groups],
    measures: Mapping[str, Callable[[Groups, float], Mapping[str, Value]]],
    prefix: str,
) -> dict[str, Value]:
    """Measure every group, and keep the worst, with an interval that holds for all of them."""
    level = 1 - (1 - LEVEL) / sum(map(len, sensitive))
    values: dict[str, Value] = {}
    for name, measure in measures.items():
        of_all = [value for groups in sensitive for value in measure(groups, level).values()]
        large = [value for value in of_all if not isinstance(value, str)]
        values[f"{prefix}worst_group_{name}"] = gaps.worst(large, smallest=True)
        for groups in sensitive:
            for group, value in measure(groups, LEVEL).items():
                values[f"{prefix}group_{name}[{group}]"] = value
    return values


def _declared() -> Iterator[Metric]:
    source = {"": "model learned from synthetic rows", "trtr_": "model learned from train"}
    for prefix, learned in source.items():
        for name, definition in OF_MODEL.items():
            said = f"{definition}; {learned}, tested on holdout"
            yield from _pair(name, said, prefix, baseline=bool(prefix))
        for name, definition in OF_GROUP.items():
            said = f"{definition}; {learned}, tested on holdout."
            for which in ("worst_group", "group"):
                yield Metric(
                    name=f"{prefix}{which}_{name}",
                    family="fairness",
                    best=1.0,
                    worst=0.0,
                    definition=f"The lowest over groups. {said}" if "worst" in which else said,
                    baseline=bool(prefix),
                    per="" if "worst" in which else "group",
                )
    for name, definition in OF_TABLE.items():
        yield from _pair(name, definition)
    for name, definition in OF_TRAIN.items():
        yield from _pair(name, definition, baseline=True)


def _pair(name: str, definition: str, prefix: str = "", *, baseline: bool = False) -> list[Metric]:
    """Declare a measure for the worst sensitive column and for each."""
    return [
        Metric(
            name=f"{prefix}{infix}{name}",
            family="fairness",
            best=0.0,
            worst=1.0,
            definition=f"{definition}; {whose}.",
            baseline=baseline,
            per=per,
        )
        for infix, whose, per in (
            ("", "of the worst sensitive column", ""),
            ("column_", "of one sensitive column", "column"),
        )
    ]


def _shares(codes: np.ndarray, n_groups: int) -> np.ndarray:
    return np.bincount(codes + 1, minlength=n_groups + 1)[1:] / len(codes)


def _draw_bars(
    names: Sequence[str], sides: Mapping[str, np.ndarray], label: str, axes: Axes
) -> None:
    """Draw one bar for each group and side; a group without rows has none."""
    places = np.arange(len(names))
    height = 0.8 / len(sides)
    for position, (side, values) in enumerate(sides.items()):
        axes.barh(places + (position - 0.5) * height, values, height, label=side)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1))  # above, where no bar is
