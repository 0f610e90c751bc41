"""MST, AIM and MWEM+PGM: budgets, what they choose and learn, and what must never enter a model."""

import itertools
import math
import pickle
import time

import numpy as np
import pandas as pd
import pytest
from datasets_at_hand import spec_and_table

from syntharena.bench import claim
from syntharena.bench.accountant import spent_epsilon
from syntharena.bench.contracts import Budget, Tables
from syntharena.bench.ledger import RESERVED
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.marginals import Marginals
from syntharena.generators.aim import Aim
from syntharena.generators.distributions import beliefs
from syntharena.generators.distributions.graphical import Measurement, estimate
from syntharena.generators.distributions.marginal_model import Survey
from syntharena.generators.distributions.workload import Workload
from syntharena.generators.mst import Mst, merged_cells, merged_counts, split
from syntharena.generators.mwem_pgm import MwemPgm
from syntharena.generators.privacy.allowance import Allowance
from syntharena.generators.views.domain import discretise

EVERY = [Mst, Aim, MwemPgm]
ANY = Budget(1.0, 1e-5)
TEN = (
    "AGEP",
    "DEYE",
    "DVET",
    "EDU",
    "HOUSING_TYPE",
    "MSP",
    "OWN_RENT",
    "PINCP_DECILE",
    "RAC1P",
    "SEX",
)


def categorical(*sizes):
    return Schema(
        tuple(
            Column(f"c{i}", "categorical", tuple(map(str, range(size))))
            for i, size in enumerate(sizes)
        )
    )


def table_of(schema, codes):
    return schema.assemble({c.name: c.from_codes(codes[:, i]) for i, c in enumerate(schema)})


def chain(rows, seed=0, sizes=(4, 3, 5, 2, 4)):
    """Draw columns each of which follows the one before it."""
    rng = np.random.default_rng(seed)
    codes = np.empty((rows, len(sizes)), dtype=np.int64)
    codes[:, 0] = rng.integers(sizes[0], size=rows)
    for i in range(1, len(sizes)):
        fresh = rng.integers(sizes[i], size=rows)
        codes[:, i] = np.where(rng.random(rows) < 0.7, codes[:, i - 1] % sizes[i], fresh)
    return categorical(*sizes), codes


def fitted(make, table, schema, budget=ANY, seed=0):
    return make().fit(table, schema=schema, budget=budget, rng=np.random.default_rng(seed))


def survey_of(schema, codes, budget, seed=0):
    allowance, rng = Allowance(budget), np.random.default_rng(seed)
    domain = discretise(table_of(schema, codes), schema, allowance, rng)
    return Survey(domain, codes, allowance, rng)


def pair_error(codes, drawn, sizes):
    """Mean total variation distance over all pairs of columns."""
    distances = []
    for pair in itertools.combinations(range(len(sizes)), 2):
        shares = []
        for side in (codes, drawn):
            counts = np.zeros([sizes[i] for i in pair])
            np.add.at(counts, tuple(side[:, pair].T), 1)
            shares.append(counts / len(side))
        distances.append(np.abs(shares[0] - shares[1]).sum() / 2)
    return float(np.mean(distances))


def drawn_codes(generator, schema, n, seed=1):
    rows = generator.sample(n, rng=np.random.default_rng(seed))
    return np.stack([column.codes(rows[column.name]) for column in schema], axis=1)


# The claim


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
@pytest.mark.parametrize("delta", [0.0, 1e-5])
@pytest.mark.parametrize("epsilon", [0.1, 3.0])
def test_the_whole_budget_is_spent_and_no_more(make, epsilon, delta, neighbours):
    schema, codes = chain(300)
    generator = fitted(make, table_of(schema, codes), schema, Budget(epsilon, delta, neighbours))
    assert spent_epsilon(generator.ledger, delta) <= generator.claimed_epsilon + 1e-9
    # MST leaves shares unspent where noise lets no column keep two cells.
    low = 0.3 if make is Mst else 0.999
    assert low * epsilon <= generator.claimed_epsilon <= epsilon + 1e-9


@pytest.mark.parametrize("make", EVERY)
def test_no_privacy_books_nothing_and_measures_exactly(make):
    schema, codes = chain(500)
    generator = fitted(make, table_of(schema, codes), schema, Budget())
    assert list(generator.ledger) == []
    assert generator.claimed_epsilon == math.inf
    counts = {k: v for k, v in generator.release.items() if " x " in k}
    for name, values in counts.items():
        columns = [schema.names.index(part) for part in name.split(" #")[0].split(" x ")]
        exact = np.zeros(values.shape)
        np.add.at(exact, tuple(codes[:, columns].T), 1)
        assert (values == exact).all()


@pytest.mark.parametrize(
    ("delta", "rho", "sigma"), [(1e-9, 0.0149731, 10.0090), (1e-5, 0.0305566, 7.0064)]
)
def test_noise_of_mst_is_that_of_its_authors(delta, rho, sigma):
    """Sigma is that of marginals weighted to a joint sensitivity of 1: noise over sqrt(count)."""
    schema, codes = chain(2000)
    generator = fitted(Mst, table_of(schema, codes), schema, Budget(1.0, delta))
    scales = {event.purpose: (event.scale, event.count) for event in generator.ledger}
    for purpose, count in (("one-way marginal", 5), ("two-way marginal of the tree", 4)):
        scale, times = scales[purpose]
        assert times == count
        assert scale / math.sqrt(count) == pytest.approx(sigma, rel=1e-4)
        assert sigma == pytest.approx(math.sqrt(3 / (2 * rho)), rel=1e-4)


def test_a_row_changes_a_score_by_at_most_one():
    schema, codes = chain(40)
    more = np.vstack([codes, [[3, 2, 4, 1, 0]]])
    surveys = [survey_of(schema, c, Budget()) for c in (codes, more)]
    model = estimate(surveys[0].sizes, [Measurement((0, 1), np.ones((4, 3)), 5.0)])
    pairs = list(itertools.combinations(range(5), 2))
    changes = np.abs(surveys[1].errors(model, pairs) - surveys[0].errors(model, pairs))
    assert 0 < changes.max() <= 1 + 1e-9


# What is learned


@pytest.mark.parametrize("make", EVERY)
def test_a_chain_is_learned_at_a_moderate_budget(make):
    schema, codes = chain(20_000)
    sizes = [len(c.categories) for c in schema]
    generator = fitted(make, table_of(schema, codes), schema, Budget(3.0, 1e-5))
    independent = np.stack(
        [np.random.default_rng(i).permutation(c) for i, c in enumerate(codes.T)], 1
    )
    drawn = drawn_codes(generator, schema, 20_000)
    assert pair_error(codes, drawn, sizes) < 0.15 * pair_error(codes, independent, sizes)


def test_mst_finds_the_chain():
    schema, codes = chain(20_000)
    generator = fitted(Mst, table_of(schema, codes), schema, Budget(3.0, 1e-5))
    edges = {clique for clique in generator.model_.potentials if len(clique) == 2}
    assert edges == {(0, 1), (1, 2), (2, 3), (3, 4)}


def test_rare_cells_share_one_count_of_their_summed_variance():
    asked = Measurement((0,), np.array([900.0, 5, -3, 400, 10]), 4.0)
    cells = merged_cells(asked)
    assert cells.tolist() == [0, 2, 2, 1, 2]
    known = merged_counts(asked, cells)
    assert known.counts.tolist() == [900, 400, 12]
    assert known.variance == pytest.approx([16, 16, 48])
    drawn = split(np.full(9000, 2), cells, np.random.default_rng(0))
    assert np.bincount(drawn, minlength=5) == pytest.approx([0, 3000, 3000, 0, 3000], abs=250)


def test_rare_cells_keep_their_mass():
    """The mass of many rare cells is not shrunk: a count too few by sqrt(cells) would be 0.02."""
    rng = np.random.default_rng(0)
    schema = categorical(102, 3)
    first = np.where(
        rng.random(20_000) < 0.2, rng.integers(2, 102, 20_000), rng.integers(2, size=20_000)
    )
    codes = np.stack([first, rng.integers(3, size=20_000)], axis=1)
    shares = []
    for seed in range(10):
        generator = fitted(Mst, table_of(schema, codes), schema, Budget(0.5, 1e-5), seed)
        shares.append((drawn_codes(generator, schema, 5000)[:, 0] >= 2).mean())
    assert np.mean(shares) == pytest.approx(0.2, abs=0.02)


def test_weights_count_shared_columns():
    workload = Workload((3, 3, 3), degree=2, max_cells=100)
    found = dict(zip(workload.cliques, workload.weights.tolist(), strict=True))
    assert found == {(0,): 2, (1,): 2, (2,): 2, (0, 1): 4, (0, 2): 4, (1, 2): 4}


def test_candidates_are_small_and_say_something():
    workload = Workload((1, 5, 30, 4), degree=3, max_cells=100)
    assert workload.cliques == [(0,), (1,), (2,), (3,), (1, 3)]
    fitting = workload.fitting([(0,), (1,), (2,), (3,)], most_cells=44)
    assert [workload.cliques[i] for i in fitting] == [(0,), (1,), (2,), (3,)]
    assert len(workload.fitting([(0,), (1,), (2,), (3,)], most_cells=60)) == 5


def test_marginals_that_a_model_cannot_answer_are_never_chosen(monkeypatch):
    monkeypatch.setattr(beliefs, "MOST_CELLS", 12)
    schema, codes = chain(50)
    survey = survey_of(schema, codes, Budget())
    model = estimate(survey.sizes, [Measurement((0,), np.ones(4), 1.0)])
    assert np.isinf(survey.errors(model, [(0, 1), (0, 2), (1, 3)])).tolist() == [False, True, False]


def test_aim_keeps_to_its_model_size():
    schema, codes = chain(3000, sizes=(6, 5, 6, 5, 6, 5))
    generator = fitted(
        lambda: Aim(max_model_size=0.001), table_of(schema, codes), schema, Budget(10.0, 1e-5)
    )
    assert 100 < generator.parameters <= 0.001 * 2**20 / 8


# Time


def test_aim_plans_its_rounds_by_work():
    schema, codes = chain(2000)
    table = table_of(schema, codes)
    short = [fitted(lambda: Aim(seconds=0.5), table, schema) for _ in range(2)]
    usual = fitted(Aim, table, schema)
    rounds = [
        sum(e.count for e in g.ledger if e.mechanism == "exponential") for g in (*short, usual)
    ]
    assert rounds[0] == rounds[1] < rounds[2]
    assert short[0].claimed_epsilon == pytest.approx(1.0, abs=1e-6)
    assert (drawn_codes(short[0], schema, 50) == drawn_codes(short[1], schema, 50)).all()


def test_aim_stops_at_the_clock_and_books_the_rest_as_reserved(monkeypatch):
    schema, codes = chain(2000)
    clock = itertools.count(step=20.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    generator = fitted(Aim, table_of(schema, codes), schema)
    used = [event for event in generator.ledger if event.purpose != RESERVED]
    assert len(used) < len(generator.ledger)
    assert spent_epsilon(used, 1e-5) < 0.9
    # What the filter allowed is the guarantee, whatever was used of it.
    assert spent_epsilon(generator.ledger, 1e-5) == pytest.approx(1.0, abs=1e-6)
    assert generator.claimed_epsilon == pytest.approx(1.0, abs=1e-6)
    assert claim.floating_point(generator.ledger) == claim.floating_point(used)


@pytest.mark.parametrize("budget", [Budget(0.1, 1e-5), Budget(0.1, 0.0, "replace")])
def test_mst_spends_all_where_no_tree_is_left(budget):
    """Every cell is rare at first sight; a second look at the columns costs what is left."""
    schema, codes = chain(60)
    generator = fitted(Mst, table_of(schema, codes), schema, budget)
    assert {event.purpose for event in generator.ledger} == {"one-way marginal"}
    assert spent_epsilon(generator.ledger, budget.delta, budget.neighbours) == pytest.approx(0.1)
    assert schema.problems(generator.sample(10, rng=np.random.default_rng(0)), 10) == []
    assert schema.problems(generator.sample(10, rng=np.random.default_rng(0)), 10) == []


# What must never enter a model


@pytest.mark.parametrize("make", EVERY)
def test_values_outside_the_public_domain_teach_nothing(make):
    schema = Schema((*categorical(3, 4), Column("x", "continuous", minimum=0, maximum=1)))
    rng = np.random.default_rng(0)
    table = table_of(categorical(3, 4), rng.integers(3, size=(400, 2))).assign(x=rng.random(400))
    inside = table.assign(x=table["x"].where(table.index > 3, 1.0))
    wide = table.assign(x=table["x"].where(table.index > 3, 1e12))
    odd = table.copy()
    odd["c0"] = odd["c0"].astype(object)
    odd.loc[0, "c0"] = "RARE"
    odd["c0"] = pd.Categorical(odd["c0"], categories=["0", "1", "2", "RARE"])
    models = [fitted(make, t, schema, Budget(8.0, 1e-5)) for t in (inside, wide)]
    assert pickle.dumps(models[0]) == pickle.dumps(models[1])
    generator = fitted(make, odd, schema, Budget(8.0, 1e-5))
    assert b"RARE" not in pickle.dumps(generator)
    assert schema.problems(generator.sample(500, rng=rng), 500) == []


@pytest.mark.parametrize("make", EVERY)
def test_the_rows_are_not_kept(make):
    sizes = []
    for rows in (100, 50_000):
        schema, codes = chain(rows)
        sizes.append(len(pickle.dumps(fitted(make, table_of(schema, codes), schema))))
    assert sizes[1] < 50_000


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_are_not_told_apart_by_a_failure(make, rows):
    schema, codes = chain(rows)
    generator = fitted(make, table_of(schema, codes), schema)
    assert schema.problems(generator.sample(20, rng=np.random.default_rng(0)), 20) == []


@pytest.mark.parametrize("make", EVERY)
def test_a_domain_that_is_not_public_or_finite_is_skipped(make):
    half = Schema((Column("x", "continuous", minimum=0),))
    assert "'x'" in make().skip(half, ANY)
    assert "guessed" in make().skip(Schema(categorical(2).columns, public=False), ANY)
    assert make().skip(categorical(2), ANY) is None


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (Mst(bins=0), "bins must be a whole number >= 1"),
        (Mst(iterations=0), "iterations must be a whole number >= 1"),
        (Aim(degree=0), "degree must be a whole number >= 1"),
        (Aim(seconds=0), "seconds must be > 0, got 0"),
        (Aim(max_model_size=-1), "max_model_size must be > 0, got -1"),
        (Mst(discretiser_share=1.0), r"discretiser_share must be in \(0, 1\), got 1.0"),
        (MwemPgm(rounds=0), "rounds must be a whole number >= 1"),
        (MwemPgm(discretiser="guess"), "discretiser"),
    ],
)
def test_hyperparameters_are_checked_in_fit(generator, message):
    schema, codes = chain(5)
    with pytest.raises(ValueError, match=message):
        fitted(lambda: generator, table_of(schema, codes), schema)


# Published figures and speed


def ten_columns():
    dataset = spec_and_table("nist_acs_national2019")
    schema = Schema(tuple(c for c in dataset.schema if c.name in TEN))
    return schema, dataset.table[schema.names]


def nist_score(generator, schema, table, seed):
    rows = generator.sample(len(table), rng=np.random.default_rng(seed))
    tables = Tables(table, table, table, rows)
    rng = np.random.default_rng(0)
    return Marginals().evaluate(tables, schema=schema, rng=rng)["nist_k_marginal_score"]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "published"), [(Mst, 958), (Aim, 976)])
def test_the_published_k_marginal_scores_are_reached(make, published):
    schema, table = ten_columns()
    scores = [nist_score(fitted(make, table, schema, ANY, s), schema, table, s) for s in range(5)]
    assert np.mean(scores) >= published


@pytest.mark.slow
@pytest.mark.parametrize("make", EVERY)
def test_utility_grows_with_epsilon(make):
    schema, table = ten_columns()
    means = []
    for epsilon in (0.1, 0.3, 1.0, 3.0, 10.0):
        budget = Budget(epsilon, 1e-5)
        models = [fitted(make, table, schema, budget, seed) for seed in range(3)]
        means.append(np.mean([nist_score(m, schema, table, s) for s, m in enumerate(models)]))
    assert (np.diff(means) > -0.5).all()
    assert means[-1] > means[0] + 20
