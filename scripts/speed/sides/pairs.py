"""Who is compared with whom, at which settings.

Ours gets the peer's architecture, batch, epochs and settings of trees, by the peer's documented
arguments; what a peer's defaults say stays unless ours cannot do it, as with layers whose number is
fixed here. What differs all the same stands in ``note``, which the page shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NO_PACKAGE = "no package"


@dataclass(frozen=True)
class Peer:
    """A peer's generator.

    Parameters
    ----------
    environment : str
        Which requirements-ENVIRONMENT.txt it has, here or in ``scripts/others``.
    library, kind : str
        What ``theirs`` is asked for.
    packages : tuple of str
        Whose versions the page shows.
    settings : mapping
        Arguments of its constructor.
    """

    environment: str
    library: str
    kind: str
    packages: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """One of ours and a peer.

    Parameters
    ----------
    name : str
        Of the pair.
    generator : str
        Ours, as ``conf/generator`` names it.
    settings : mapping
        Arguments of ours beside those of the preset cpu.
    peer : Peer, optional
        None where no package of the registries has one.
    lengths : tuple of str
        Which arguments of ours get the epochs; "steps" gets ceil(rows / batch) for
        each; a lot is a batch.
    small : int
        A size to run beside those asked for; 0 for none.
    largest : int
        Most rows that it is run with; 0 for no limit.
    budget : tuple of float, optional
        Epsilon and delta of both, whose numbers then have the table's own bounds.
    aim : float
        How many times ours shall be faster: in an epoch where both have them, else in all.
    note : str
        What is not alike.
    """

    name: str
    generator: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    peer: Peer | None = None
    lengths: tuple[str, ...] = ()
    small: int = 0
    largest: int = 0
    budget: tuple[float, float] | None = None
    aim: float = 1.0
    note: str = ""

    def ours(self, rows: int, epochs: int) -> dict[str, Any]:
        """Return the arguments of ours for a table of so many rows."""
        found = dict(self.settings)
        for name in self.lengths:
            batch = found.get("batch") or found.get("lot", rows)
            found[name] = epochs * (-(-rows // batch) if name == "steps" else 1)
        return found


EPOCHS = ("epochs",)
ALL_STEPS = {"least_steps": 1, "most_steps": None}  # as many as the epochs have
UNITS = 500  # synthcity's default, of every layer of its GANs and its TVAE
SYNTHCITY = ("synthcity",)
GAN = {"generator_n_units_hidden": UNITS, "discriminator_n_units_hidden": UNITS}
SMALL = 1000  # rows for those that take too long on more
BUDGET = (1.0, 1e-5)
ARF = {"trees": 30, "min_leaf": 5, "rounds": 10, "delta": 0.0}

PAIRS = (
    Pair(
        "sdv_ctgan",
        "ctgan",
        {"batch": 500, "pack": 10, "hidden": 256, "noise": 128, "average": 0.0, **ALL_STEPS},
        Peer("sdv", "ctgan", "CTGAN", ("ctgan", "torch"), {"enable_gpu": False}),
        lengths=EPOCHS,
        aim=3.0,
    ),
    Pair(
        "sdv_tvae",
        "tvae",
        {"batch": 500, "hidden": 128, "latent": 128, **ALL_STEPS},
        Peer("sdv", "ctgan", "TVAE", ("ctgan", "torch"), {"enable_gpu": False}),
        lengths=EPOCHS,
        aim=3.0,
    ),
    Pair(
        "sdv_gaussian_copula",
        "gaussian_copula",
        peer=Peer("sdv", "gaussian_copula", "", ("sdv", "copulas")),
        note="SDV fits a beta distribution to each column, ours keeps the empirical one.",
    ),
    Pair(
        "synthcity_ctgan",
        "ctgan",
        {"batch": 200, "pack": 1, "hidden": UNITS, "noise": UNITS, "average": 0.0, **ALL_STEPS},
        Peer("synthcity", "synthcity", "generic.ctgan", SYNTHCITY, GAN),
        lengths=EPOCHS,
        aim=10.0,
        note="synthcity's generator is a plain perceptron of two layers and scores single rows.",
    ),
    Pair(
        "synthcity_tvae",
        "tvae",
        {"batch": 200, "hidden": UNITS, "latent": UNITS, **ALL_STEPS},
        Peer(
            "synthcity",
            "synthcity",
            "generic.tvae",
            SYNTHCITY,
            {
                "n_units_embedding": UNITS,
                "encoder_n_layers_hidden": 2,
                "encoder_n_units_hidden": UNITS,
                "decoder_n_layers_hidden": 2,
                "decoder_n_units_hidden": UNITS,
            },
        ),
        lengths=EPOCHS,
        aim=10.0,
        note="synthcity was asked for two layers, as ours.",
    ),
    Pair(
        "synthcity_adsgan",
        "adsgan",
        {"batch": 200, "hidden": UNITS, "noise": UNITS, "average": 0.0, "scale": "range"},
        Peer(
            "synthcity",
            "synthcity",
            "privacy.adsgan",
            SYNTHCITY,
            {**GAN, "generator_n_layers_hidden": 3, "discriminator_n_iter": 5},
        ),
        lengths=("steps",),
        note="synthcity was asked for three layers and five steps of the critic, as ours; they "
        "see one batch five times, ours five batches. Its numbers are modes, ours ranges.",
    ),
    Pair(
        "synthcity_ddpm",
        "tabddpm",
        {"batch": 1024, "hidden": [256, 256, 256], "times": 1000, "weight_decay": 1e-4},
        Peer(
            "synthcity",
            "synthcity",
            "generic.ddpm",
            SYNTHCITY,
            {
                "is_classification": True,
                "batch_size": 1024,
                "num_timesteps": 1000,
                "model_params": {"n_layers_hidden": 3, "n_units_hidden": 256, "dropout": 0.0},
            },
        ),
        lengths=("steps",),
    ),
    Pair(
        "synthcity_bayesian_network",
        "bayesian_network",
        {"structure": "tree", "bins": 10},
        Peer(
            "synthcity",
            "synthcity",
            "generic.bayesian_network",
            ("synthcity", "pgmpy"),
            {"epochs": False, "struct_learning_search_method": "tree_search"},
        ),
        note="Both stop at a tree; synthcity's numbers are mixtures of at most ten normals.",
    ),
    Pair(
        "pgmpy",
        "bayesian_network",
        {"structure": "hill_climb", "bins": 24, "penalty": 1.0, "max_parents": 4},
        Peer("pgmpy", "pgmpy", "", ("pgmpy",), {"bins": 24, "max_indegree": 4}),
        note="Both climb to a maximum of BIC; ours begins at the best forest, pgmpy at no arrow.",
    ),
    Pair(
        "synthcity_arf",
        "arf",
        ARF,
        Peer("synthcity", "synthcity", "generic.arf", ("synthcity", "arfpy"), {"epochs": False}),
        largest=40_000,
        note="synthcity calls arfpy.",
    ),
    Pair("arfpy", "arf", ARF, Peer("arfpy", "arfpy", "", ("arfpy",), {"verbose": False})),
    Pair(
        "forestdiffusion",
        "forest_flow",
        {
            **{"times": 5, "copies": 10, "points": None, "trees": 10, "depth": 4, "min_rows": 1},
            **{"bins": 256, "scale": "min_max", "corners": "dummies", "solver": "euler"},
        },
        Peer(
            "forestdiffusion",
            "forest_diffusion",
            "",
            ("ForestDiffusion",),
            {"n_t": 5, "duplicate_K": 10, "n_estimators": 10, "max_depth": 4},
        ),
        small=SMALL,
        largest=40_000,
        note="Ours with its preset paper; both with a tenth of its times, copies and trees.",
    ),
    Pair(
        "seqtrees",
        "cart",
        {"min_leaf": 5},
        Peer(
            "seqtrees",
            "seqtrees",
            "",
            ("seqtrees",),
            {"max_depth": 1000, "min_samples_leaf": 5, "tree_backend": "sklearn"},
        ),
        note="seqtrees stops at depth 5 by default and was asked not to; same trees of sklearn.",
    ),
    Pair(
        "imblearn_smotenc",
        "smote",
        {"neighbours": 5},
        Peer("imblearn", "imblearn", "", ("imbalanced-learn",), {"k_neighbors": 5}),
        note="SMOTENC does everything when it draws; compare the sum of fit and draw.",
    ),
    Pair(
        "mostlyai",
        "autoregressive",
        {"steps": None},
        Peer(
            "mostlyai",
            "mostlyai",
            "",
            ("mostlyai-engine", "torch"),
            {"device": "cpu", "value_protection": False},
        ),
        lengths=EPOCHS,
        note="value_protection replaces rare categories, which ours does not.",
    ),
    Pair(
        "synthcity_dpgan",
        "dpgan",
        {"lot": 200, "critic_steps": 1, "hidden": UNITS, "noise": UNITS, "average": 0.0},
        Peer("synthcity", "synthcity", "privacy.dpgan", SYNTHCITY, {"epsilon": 1.0, "delta": 1e-5}),
        lengths=("steps",),
        small=SMALL,
        largest=SMALL,
        budget=BUDGET,
        note="Epsilon 1, delta 1e-5. Its numbers are modes, its domain that of the rows.",
    ),
    Pair(
        "synthcity_pategan",
        "pategan",
        {"teachers": 10, "batch": 100, "hidden": 100, "noise": 100, "average": 0.0},
        Peer(
            "synthcity", "synthcity", "privacy.pategan", SYNTHCITY, {"epsilon": 1.0, "delta": 1e-5}
        ),
        lengths=("rounds",),
        small=SMALL,
        largest=SMALL,
        budget=BUDGET,
        note="Epsilon 1, delta 1e-5. synthcity fits linear teachers anew in each round, ours are "
        "networks that go on.",
    ),
    Pair(
        "tabsyn",
        "tabsyn",
        {"vae_steps": None, "steps": None},
        lengths=("vae_epochs", "epochs"),
        note="An epoch is one of both trainings.",
    ),
    Pair("tabdiff", "tabdiff", {"steps": None}, lengths=EPOCHS),
    Pair("flow_matching", "flow_matching", {"steps": None}, lengths=EPOCHS),
)
