"""Disclosure: singling out, linkability and attribute inference, each held against a control set.

The three risks that European law tests anonymous data for (Article 29 Working Party, Opinion
05/2014), as attacks of one definition: what an attacker who holds the synthetic table achieves
against train beyond what the same attack achieves against holdout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..bench.contracts import Measured, Metric, Picture, Tables
from ..bench.schema import Schema
from .guesses import inference, linkage
from .risk import Attack, mean_risk, variant_risks, worst_risk
from .singling_out import multivariate, univariate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SOURCE = (
    "(main - control) / (1 - control) of the attack's success rates on train and on holdout, below "
    "0 counted as 0; Giomi et al. 2023, anonymeter 1.1"
)
DEFINITIONS = {
    "singling_out_univariate_error": "Conditions on one column that hold for a single synthetic "
    "row also hold for a single train row",
    "singling_out_multivariate_error": "Conjunctions of conditions on several columns that hold "
    "for a single synthetic row also hold for a single train row",
    "linkability_error": "Two halves of a train row's columns have the same nearest synthetic row; "
    "mean over random halves",
    "inference_error": "A column of a train row is guessed from the nearest synthetic row in all "
    "other columns (a number to 5 %); mean over columns",
    "worst_inference_error": "The largest column_inference_error, with an interval that holds for "
    "all columns at once",
    "column_inference_error": "The part of inference_error that one column contributes",
}
PER_COLUMN = "column_inference_error"
RATES = {  # how a chart calls them
    "singling_out_univariate_error": "singling out, 1 column",
    "singling_out_multivariate_error": "singling out, several",
    "linkability_error": "linkability",
    "inference_error": "inference, mean",
}


class Disclosure:
    """The three risks of Giomi et al. 2023, with their 95 % intervals.

    Attacked rows are drawn by content. Where an attack does no better than guessing, or too few
    attacks are possible, there is a reason instead of a risk.

    Parameters
    ----------
    attacks : int
        Rows attacked on each side, and predicates tried; at least 30.
    columns : int
        Conditions in a multivariate predicate; at least 2.
    splits : int
        How many times columns are halved for linkability.

    Raises
    ------
    ValueError
        If an argument is too small.
    """

    metrics = tuple(
        Metric(
            name=name,
            family="privacy",
            best=0.0,
            worst=1.0,
            definition=f"{definition}: {SOURCE}.",
            per="column" if name == PER_COLUMN else "",
        )
        for name, definition in DEFINITIONS.items()
    )

    def __init__(self, attacks: int = 2000, columns: int = 3, splits: int = 2) -> None:
        for name, value, least in (
            ("attacks", attacks, 30),
            ("columns", columns, 2),
            ("splits", splits, 1),
        ):
            if value < least:
                raise ValueError(
                    f"{name} must be at least {least}, got {value!r}; set {name}={least}"
                )
        self.attacks, self.columns, self.splits = attacks, columns, splits

    def evaluate(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Mapping[str, float | str | Measured]:
        """Return every risk, or the reason why it was not measured."""
        attacks = self._made(tables, schema, rng)
        values: dict[str, float | str | Measured] = {
            name: attack if isinstance(attack, str) else mean_risk(attack)
            for name, attack in attacks.items()
        }
        guessed = attacks["inference_error"]
        if isinstance(guessed, str):
            return values | dict.fromkeys(("worst_inference_error", PER_COLUMN), guessed)
        values["worst_inference_error"] = worst_risk(guessed)
        names = sorted(schema.names)
        for name, value in zip(names, variant_risks(guessed), strict=True):
            values[f"{PER_COLUMN}[{name}]"] = value
        return values

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Sequence[Picture]:
        """Chart the success rates on train and on holdout."""
        attacks = self._made(tables, schema, rng)
        shown = {
            RATES[name]: attack
            for name, attack in attacks.items()
            if isinstance(attack, Attack) and not attack.too_few
        }
        if not shown:
            return []
        return [
            Picture(
                title="Disclosure attacks",
                caption="Success rates with 95 % intervals against rows that the generator saw "
                "(train) and did not see (holdout). Equal rates are good: the table then tells "
                "about the population, not about its train rows. The mark is guessing.",
                draw=lambda axes: _draw_rates(axes, shown),
            )
        ]

    def _made(
        self, tables: Tables, schema: Schema, rng: np.random.Generator
    ) -> dict[str, Attack | str]:
        key = ("disclosure", self.attacks, self.columns, self.splits)
        return tables.once(key, lambda: self._make(tables, schema, rng))

    def _make(
        self, tables: Tables, schema: Schema, rng: np.random.Generator
    ) -> dict[str, Attack | str]:
        if reason := tables.lacking("train", "holdout", "synthetic"):
            return dict.fromkeys(RATES, reason)
        single, several, link, infer = rng.spawn(4)
        return {
            "singling_out_univariate_error": univariate(tables, schema, self.attacks, single),
            "singling_out_multivariate_error": multivariate(
                tables, schema, self.attacks, self.columns, several
            ),
            "linkability_error": linkage(tables, schema, self.attacks, self.splits, link),
            "inference_error": inference(tables, schema, self.attacks, infer),
        }


def _draw_rates(axes: Axes, attacks: Mapping[str, Attack]) -> None:
    """Draw main, control and baseline rates (means over variants) side by side."""
    places = np.arange(len(attacks))
    for shift, label in ((-0.15, "train"), (0.15, "holdout")):
        rates = [
            attack.main_rates() if label == "train" else attack.control_rates()
            for attack in attacks.values()
        ]
        axes.errorbar(
            places + shift,
            [rate.value.mean() for rate in rates],
            [rate.error.mean() for rate in rates],
            fmt="o",
            capsize=3,
            label=label,
        )
    guesses = [attack.baseline.mean() for attack in attacks.values()]
    axes.plot(places, guesses, "_", color="grey", markersize=18, label="guessing")
    axes.set_xticks(places, [name.replace(", ", ",\n") for name in attacks])
    axes.set_ylim(0, 1)
    axes.set_ylabel("success rate")
    axes.legend()
