"""Evaluators for the tests of ``syntharena score``: one with pictures, one that copies alarm."""

import numpy as np

from syntharena.bench.contracts import Measured, Metric, Picture


class Pictured:
    """One number of each sort, and pictures with names from the table."""

    metrics = (
        Metric("own_score", "fidelity", 1.0, 0.0, "Has an interval of its own."),
        Metric("open_error", "utility", 0.0, np.inf, "Has no worst value.", unit="rows"),
        Metric("kind_score", "fairness", 1.0, 0.0, "One for each column.", per="column"),
        Metric("lost_score", "diagnostic", 1.0, 0.0, "Is never there."),
    )

    def __init__(self, fails=False):
        self.fails = fails

    def evaluate(self, tables, *, schema, rng):
        values = {"own_score": Measured(0.5, 0.25, 0.75), "lost_score": "because <b> & so"}
        values["open_error"] = float(len(tables.synthetic))
        return values | {f"kind_score[{name}]": 0.5 for name in schema.names}

    def pictures(self, tables, *, schema, rng):
        dots = rng.random((2, 5000))

        def bars(axes):
            places = range(len(schema))
            axes.bar(places, [1] * len(schema), label="real")
            axes.set_xticks(places, schema.names, rotation=90)
            axes.set_ylabel(schema.names[0])
            axes.legend()

        def crowd(axes):
            axes.scatter(*dots, s=1)
            axes.set_xscale("log")

        def broken(axes):
            raise ZeroDivisionError("no such axis")

        drawn = [Picture("Bars of <i>", "What & how.", bars), Picture("A crowd", "Dots.", crowd)]
        return [*drawn, Picture("Broken", "Never seen.", broken)] if self.fails else drawn


class Alarmed:
    """Detects copies, or does not."""

    metrics = (
        Metric("memorisation_error", "privacy", 0.0, 1.0, "1 where copies are found."),
        Metric("memorisation_p_score", "privacy", 1.0, 0.0, "The smallest p-value."),
    )

    def evaluate(self, tables, *, schema, rng):
        copied = float(tables.synthetic.equals(tables.train))
        return {"memorisation_error": copied, "memorisation_p_score": rng.random()}
