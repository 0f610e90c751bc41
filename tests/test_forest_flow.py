"""Forest-Flow and Forest-VP: their space, processes and trees against closed forms and oracles."""

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from truths import TRUTHS

from syntharena.bench.contracts import Budget
from syntharena.bench.probes import schemas, table
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.forest_flow import ForestFlow
from syntharena.generators.forests import boosting
from syntharena.generators.forests.boosting import Boosting, pack, predicted
from syntharena.generators.forests.processes import EARLIEST, Flow, VariancePreserving
from syntharena.generators.views.cube import Cube, digits, dummies
from syntharena.generators.views.scales import Range

CHANCE = 1e-4  # p-value below which a test of a random table fails
SMALL = {"times": 3, "trees": 3, "depth": 3, "points": 500, "min_rows": 1, "bins": 16}
PUBLISHED = {"scale": "min_max", "corners": "dummies", "solver": "euler"}


def fitted(train, schema, seed=0, checkpoint=None, **settings):
    flow = ForestFlow(**{**SMALL, **settings})
    flow.seen = []
    flow.progress = lambda step, total, **losses: flow.seen.append((step, total, losses["error"]))
    if checkpoint is not None:
        flow.checkpoint = checkpoint
    return flow.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(seed))


def sampled(flow, n, seed=1, **settings):
    return flow.sample(n, rng=np.random.default_rng(seed), **settings)


# The cube


@pytest.mark.parametrize("scale", ["min_max", "normal"])
@pytest.mark.parametrize("corners", ["dummies", "digits"])
@pytest.mark.parametrize("name", sorted(schemas()))
@pytest.mark.parametrize("rows", [1, 2, 60])
def test_a_table_leads_to_the_cube_and_back(name, rows, scale, corners):
    schema = schemas()[name]
    train = table(schema, rows, np.random.default_rng(0))
    cube = Cube.of(train, schema, scale, corners)
    points = cube.points(train, np.random.default_rng(1))
    assert points.shape == (rows, cube.width)
    assert points.dtype == np.float32
    assert np.isfinite(points).all()
    numbers = len(cube.known)
    assert set(np.unique(points[:, numbers:])) <= {-1.0, 1.0}
    back = cube.table(points)
    for column in schema:
        if column.is_discrete:
            pd.testing.assert_series_equal(back[column.name], train[column.name])
        else:  # float32 keeps seven digits of a range
            both = (column.numbers(side[column.name]) for side in (back, train))
            assert np.nan_to_num(np.subtract(*both)) == pytest.approx(
                np.zeros(rows), abs=1e-6 * (column.upper - column.lower)
            )
            assert back[column.name].isna().equals(train[column.name].isna())


@pytest.mark.parametrize("categories", [1, 2, 3, 5, 16, 17, 1_000])
def test_corners_are_apart_and_a_point_belongs_to_the_nearest(categories):
    for corners in (dummies(categories), digits(categories)):
        assert len(np.unique(corners, axis=0)) == categories
        assert set(np.unique(corners)) <= {-1.0, 1.0}
    assert dummies(categories).shape[1] == categories - 1
    assert digits(categories).shape[1] == int(np.ceil(np.log2(categories)))
    steps = np.abs(np.diff(digits(categories), axis=0)).sum(axis=1)
    assert (steps == 2).all()  # neighbours differ in one coordinate
    column = Column("c", "categorical", tuple(map(str, range(categories))))
    train = pd.DataFrame({"c": column.from_codes(np.arange(categories))})
    rng = np.random.default_rng(0)
    for kind in ("dummies", "digits"):
        cube = Cube.of(train, Schema((column,)), "normal", kind)
        points = rng.standard_normal((200, cube.width)).astype(np.float32)
        distances = ((points[:, None] - cube.corners[0]) ** 2).sum(axis=2)
        found = column.codes(cube.table(points)["c"])
        assert distances[np.arange(200), found] == pytest.approx(distances.min(axis=1))


def test_digits_keep_an_order_that_has_a_meaning_and_else_put_the_frequent_first():
    codes = np.repeat([0, 1, 2, 3], [1, 5, 2, 9])
    for ordered, expected in ((True, [0, 1, 2, 3]), (False, [3, 1, 2, 0])):
        column = Column("c", "categorical", tuple("abcd"), ordered=ordered)
        train = pd.DataFrame({"c": column.from_codes(codes)})
        (corners,) = Cube.of(train, Schema((column,)), "normal", "digits").corners
        assert np.array_equal(corners[expected], digits(4))


def test_missing_numbers_are_filled_by_known_ones_and_stay_missing():
    rng = np.random.default_rng(0)
    column = Column("x", "continuous", missing=True)
    values = np.where(rng.random(2_000) < 0.5, np.nan, rng.exponential(size=2_000))
    train = pd.DataFrame({"x": values})
    cube = Cube.of(train, Schema((column,)), "min_max", "dummies")
    points = cube.points(train, rng)
    gone = np.isnan(values)
    assert stats.ks_2samp(points[gone, 0], points[~gone, 0]).pvalue > CHANCE
    assert np.array_equal(points[:, 1] > 0, gone)
    assert np.array_equal(cube.table(points)["x"].isna(), gone)


def test_numbers_beyond_the_ends_of_a_range_are_those_of_the_ends():
    scale = Range.of(np.array([[2.0], [np.nan], [10.0]]), -1.0, 1.0)
    assert scale.scaled(np.array([[2.0], [6.0], [10.0]])).ravel().tolist() == [-1, 0, 1]
    assert scale.numbers(np.array([[-3.0], [0.5], [1.2]])).ravel().tolist() == [2, 8, 10]


# The processes


def draws(n=20_000, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 1), dtype=np.float32)


@pytest.mark.parametrize("heun", [False, True])
def test_a_flow_ends_at_a_single_point(heun):
    flow = Flow(7, heun)
    made = flow.back(lambda t, x: (3 - x) / (1 - t / 7), draws(50), np.random.default_rng(0))
    assert made == pytest.approx(np.full((50, 1), 3.0), abs=1e-5)


def gaussian_velocity(flow, mean, deviation):
    """E[rows - noise | noisy rows] of normal rows: both are jointly normal with the noisy ones."""

    def velocity(time, rows):
        t = time / flow.times
        spread = t**2 * deviation**2 + (1 - t) ** 2
        return mean + (t * deviation**2 - (1 - t)) / spread * (rows - t * mean)

    return velocity


def test_a_flow_leads_noise_to_normal_data_and_heun_in_fewer_steps():
    errors = {}
    for heun, times in itertools.product((False, True), (10, 200)):
        flow = Flow(times, heun)
        start = draws()
        made = flow.back(gaussian_velocity(flow, 2.0, 0.3), start, np.random.default_rng(0))
        errors[heun, times] = np.abs(made - (2 + 0.3 * start)).mean()  # the flow is monotone
    assert errors[True, 200] < errors[False, 200] < 0.01
    assert errors[True, 10] < errors[False, 10] / 2


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.5, 0.5), (-1.0, 0.2)])
def test_the_diffusion_leads_noise_to_normal_data(mean, deviation):
    process = VariancePreserving(400)

    def noise(time, rows):
        data, spread = process._shares(time)
        variance = data**2 * deviation**2 + spread**2
        return spread / variance * (rows - data * mean)

    made = process.back(noise, draws(), np.random.default_rng(1))
    assert made.mean() == pytest.approx(mean, abs=0.03)
    assert made.std() == pytest.approx(deviation, abs=0.03)


def test_processes_begin_as_noise_and_end_as_data():
    rows, rng = np.full((4, 1), 5.0, dtype=np.float32), np.random.default_rng(0)
    for time in range(10):
        noisy, velocity = Flow(10, False).pair(time, rows, rng)
        assert noisy + (1 - time / 10) * velocity == pytest.approx(rows, abs=1e-5)
        noise = rows - velocity
        assert noisy == pytest.approx(time / 10 * rows + (1 - time / 10) * noise, abs=1e-5)
    process = VariancePreserving(50)
    assert process.grid[[0, -1]].tolist() == [1, EARLIEST]
    assert process._shares(0)[0] == pytest.approx(np.exp(-0.25 * 7.9 - 0.05))
    for time in range(50):
        data, spread = process._shares(time)
        assert data**2 + spread**2 == pytest.approx(1, abs=1e-6)
        noisy, noise = process.pair(time, rows, rng)
        assert noisy == pytest.approx(data * rows + spread * noise)
    assert noisy == pytest.approx(rows, abs=0.1)


# The trees


def noisy_rows(rows=400, width=3, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((rows, width), dtype=np.float32)
    return inputs, np.sin(inputs[:, [1, 2, 0]]) + rng.standard_normal((rows, width), np.float32)


def test_coordinates_learned_together_are_those_of_separate_boosters():
    xgboost = pytest.importorskip("xgboost")
    inputs, target = noisy_rows()
    boosters, error = Boosting(10, 4, 0.3, 3, 64).learn(inputs, target)
    together = predicted(boosters, inputs)
    options = {"max_depth": 4, "eta": 0.3, "min_child_weight": 3, "reg_lambda": 0, "max_bin": 64}
    for place in range(3):
        binned = xgboost.QuantileDMatrix(inputs, target[:, place], max_bin=64, nthread=1)
        alone = xgboost.train({**options, "nthread": 1}, binned, 10).predict(binned)
        assert together[:, place] == pytest.approx(alone, abs=1e-4)
    assert error == pytest.approx(np.sqrt(((together - target) ** 2).mean()), rel=1e-4)


def test_coordinates_in_groups_are_those_at_once(monkeypatch):
    inputs, target = noisy_rows(width=3)
    trees = Boosting(3, 3, 0.3, 1, 16)
    once, error = trees.learn(inputs, target)
    monkeypatch.setattr(boosting, "AT_ONCE", 800)  # two coordinates of 400 rows
    groups, same = trees.learn(inputs, target)
    assert [len(once), len(groups)] == [1, 2]
    both = (predicted(part, inputs) for part in (once, groups))
    assert np.array_equal(*both)
    assert error == pytest.approx(same, rel=1e-4)


def test_packed_boosters_predict_alike_and_are_small():
    xgboost = pytest.importorskip("xgboost")
    inputs, target = noisy_rows(2_000)
    binned = xgboost.QuantileDMatrix(inputs, target, nthread=1)
    booster = xgboost.train({"max_depth": 6, "nthread": 1}, binned, 20)
    packed = pack(booster)
    assert np.array_equal(predicted([packed], inputs), booster.inplace_predict(inputs))
    assert len(packed) < len(booster.save_raw("ubj")) / 3


def test_points_bound_the_rows_of_a_time_and_every_time_has_others():
    train = pd.DataFrame({"x": np.arange(100.0), "b": ["False"] * 25 + ["True"] * 75})
    schema = Schema((Column("x", "continuous"), Column("b", "boolean")), "b", "binary")
    flow = ForestFlow(copies=3, points=40)
    flow.cube_ = Cube.of(train[["x"]], Schema(schema.columns[:1]), "normal", "digits")
    assert [flow._count(25, 100), flow._count(75, 100)] == [10, 30]
    flow.points = None
    assert [flow._count(25, 100), flow._count(75, 100)] == [75, 225]
    flow.copies = 10**8
    with pytest.raises(ValueError, match=r"may hold 268435456 numbers, got .*points=268435456"):
        flow._count(25, 100)
    seen = fitted(schema.conform(train), schema, times=4).seen
    assert [step for step, *_ in seen] == list(range(1, 9))  # times of two classes
    assert all(total == 8 and error > 0 for _, total, error in seen)


# Whole tables


@pytest.mark.parametrize("settings", [{**PUBLISHED, "times": 30}, {"process": "vp", "times": 20}])
def test_other_settings_learn_too(settings):
    truth = TRUTHS["rare"]
    train = truth.draw(1_000, np.random.default_rng(0))
    common = {"times": 8, "trees": 10, "depth": 5, "points": 2_000, "copies": 2, "min_rows": 5}
    made = sampled(fitted(train, truth.schema, **{**common, **settings}), 3_000)
    for kind, mean in enumerate((0.0, 5.0, 20.0)):
        sizes = made.loc[made["kind"] == f"kind{kind}", "size"]
        assert sizes.median() == pytest.approx(mean, abs=1)
        if kind < 2:  # the rare one has twenty rows
            assert stats.iqr(sizes) == pytest.approx(1.35, abs=0.5)


def two_classes(rows=600, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, rows)
    columns = (
        Column("x", "continuous"),
        Column("c", "categorical", ("p", "q", "r")),
        Column("y", "categorical", ("no", "yes", "never"), missing=True),
    )
    schema = Schema(columns, "y", "multiclass")
    parts = {
        "x": columns[0].from_numbers(10 * label + rng.normal(size=rows)),
        "c": columns[1].from_codes(rng.integers(0, 2, rows) + label),
        "y": columns[2].from_codes(label),
    }
    return schema.assemble(parts), schema


def test_a_class_that_is_asked_for_is_drawn():
    train, schema = two_classes()
    flow = fitted(train, schema)
    asked = pd.DataFrame({"y": ["yes"] * 300 + ["no"] * 100 + ["never"] * 100 + [None] * 100})
    asked = schema.conform(train.iloc[:600].assign(y=asked["y"]))[["y"]]
    made = sampled(flow, 600, conditions=asked)
    assert made["y"].equals(asked["y"])
    assert (made["x"][:300] > 5).mean() > 0.9
    assert (made["x"][300:400] < 5).mean() > 0.9
    assert 0.2 < (made["x"][400:] > 5).mean() < 0.8  # classes that no row has


def test_other_conditions_are_selected_for_within_the_class():
    train, schema = two_classes()
    flow = fitted(train, schema)
    asked = schema.conform(train.assign(y="yes", c="q"))[["c", "y"]]
    made = sampled(flow, 600, conditions=asked)
    assert made[["c", "y"]].equals(asked)
    assert (made["x"] > 5).mean() > 0.9
    assert made["x"].nunique() > 100
    only = sampled(flow, 600, conditions=asked[["c"]])
    assert only["c"].equals(asked["c"])
    assert 0.2 < (only["y"] == "yes").mean() < 0.9


def test_classes_keep_their_shares_and_many_of_them_are_a_column():
    train, schema = two_classes()
    flow = fitted(train, schema)
    assert (sampled(flow, 4_000)["y"] == "yes").mean() == pytest.approx(flow.shares_[1], abs=0.03)
    column = fitted(train, schema, classes=1)
    assert column.target_ is None
    assert len(column.models_) == 3
    assert 0.2 < (sampled(column, 1_000)["y"] == "yes").mean() < 0.8


def test_thousands_of_categories_take_few_coordinates():
    codes = np.repeat(np.arange(1_500), 2)
    columns = (Column("c", "categorical", tuple(map(str, range(2_000)))), Column("x", "integer"))
    schema = Schema(columns)
    train = schema.assemble({"c": columns[0].from_codes(codes), "x": pd.Series(codes // 100)})
    flow = fitted(train, schema)
    assert flow.cube_.width == 12
    assert set(sampled(flow, 500)["c"]) <= set(train["c"])


@pytest.mark.parametrize("settings", [PUBLISHED, {"process": "vp"}])
@pytest.mark.parametrize("name", sorted(schemas()))
@pytest.mark.parametrize("rows", [1, 30])
def test_odd_tables_survive_other_settings(name, rows, settings):
    schema = schemas()[name]
    train = table(schema, rows, np.random.default_rng(0))
    flow = fitted(train, schema, trees=1, times=2, depth=2, **settings)
    del flow.progress  # a test's own, and no part of the model
    flow = pickle.loads(pickle.dumps(flow))
    for n in (0, 1, 2 * rows + 1):
        made = sampled(flow, n)
        assert schema.problems(made, n) == []
        pd.testing.assert_frame_equal(made, schema.conform(made))
        pd.testing.assert_frame_equal(made, sampled(flow, n))
    for names in (schema.names[:1], schema.names[-1:], schema.names):
        asked = table(schema, 5, np.random.default_rng(1))[names]
        pd.testing.assert_frame_equal(sampled(flow, 5, conditions=asked)[names], asked)


class Killed(Exception):
    """What ends a fit before its time."""


@pytest.mark.parametrize("dies_after", [2, 3, 5])
def test_a_killed_fit_ends_bit_identical_to_an_unbroken_one(tmp_path, dies_after):
    train, schema = two_classes(100)
    whole = fitted(train, schema)
    killed = ForestFlow(**SMALL)
    killed.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)

    def die(step, total, **losses):
        if step > dies_after:
            raise Killed

    killed.progress = die
    with pytest.raises(Killed):
        killed.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(0))
    again = fitted(train, schema, checkpoint=models.Checkpoint(tmp_path / "state", seconds=0))
    kept = dies_after - dies_after % 2  # saved after both classes of a time
    assert again.seen == whole.seen[kept:]
    pd.testing.assert_frame_equal(sampled(again, 500), sampled(whole, 500))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"process": "ve"}, r"process must be one of flow, vp, got 've'"),
        ({"scale": "log"}, r"scale must be one of min_max, normal, got 'log'"),
        ({"corners": "hash"}, r"corners must be one of dummies, digits, got 'hash'"),
        ({"solver": "rk4"}, r"solver must be one of heun, euler, got 'rk4'"),
        ({"times": 0}, r"times must be a whole number >= 1, got 0"),
        ({"points": 0}, r"points must be a whole number >= 1, got 0"),
        ({"bins": 1}, r"bins must be a whole number >= 2, got 1"),
        ({"learning_rate": 0}, r"learning_rate must be in \(0, 1\], got 0; set it to 0.3"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    train, schema = two_classes(20)
    with pytest.raises(ValueError, match=message):
        fitted(train, schema, **settings)
