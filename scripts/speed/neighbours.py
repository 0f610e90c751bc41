"""Print what exact neighbour searches cost, ours beside scikit-learn's, on the same tables.

    OMP_NUM_THREADS=1 python scripts/speed/neighbours.py [--data FOLDER] [--cap 60] [--rows 300000]

Tables: adult (32,561 train, 16,281 holdout, 32,561 synthetic rows, train rows of which every cell
was drawn anew with probability 0.3), and one of 300,000 rows made from it by jittered resampling.
scikit-learn is given the one-hot matrix. Each measurement is a process of its own: its CPU seconds,
and by how much its memory grew at most. A search of more than ``cap`` CPU seconds is ended.

Last, the share of the machine's matrix-multiply peak: of a block of distances alone, and of a whole
search among points in which nothing can be skipped.
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

import syntharena.conf
from syntharena.bench.data.datasets import load
from syntharena.bench.schema import Schema
from syntharena.evaluators.distances import Distances
from syntharena.evaluators.naive import OneHot
from syntharena.evaluators.neighbours import Encoded, Encoder, counts_within, knn, points

TRAIN, DIMENSIONS, POINTS = 32_561, 108, 20_000


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with adult.csv.gz")
    parser.add_argument("--cap", type=int, default=60, help="CPU seconds a search may take")
    parser.add_argument("--rows", type=int, default=300_000, help="rows of the large table")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    schema, table = adult(options.data)
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    train, holdout = table[:TRAIN], table[TRAIN:]
    synthetic = resampled(train, schema, TRAIN, rng, cells=0.3, jitter=0.0)
    print(f"adult: {len(train)} train, {len(holdout)} holdout, {len(synthetic)} synthetic rows")
    compare(schema, train, holdout, synthetic, options.cap)
    large = [resampled(table, schema, options.rows, rng, cells=0.05, jitter=0.02) for _ in range(2)]
    print(f"made from adult: {options.rows} train, {options.rows} synthetic rows")
    compare(schema, large[0], None, large[1], options.cap)
    peak()


def adult(folder: Path | None) -> tuple[Schema, pd.DataFrame]:
    """Load the table."""
    text = (files(syntharena.conf) / "dataset" / "adult.yaml").read_text(encoding="utf-8")
    dataset = load(yaml.safe_load(text), data_dir=folder)
    return dataset.schema, dataset.table


def resampled(
    table: pd.DataFrame,
    schema: Schema,
    rows: int,
    rng: np.random.Generator,
    *,
    cells: float,
    jitter: float,
) -> pd.DataFrame:
    """Draw rows, draw some cells anew, and move numbers by a share of their standard deviation."""
    drawn = rng.integers(0, len(table), rows)
    columns = {}
    for column in schema:
        source = np.where(rng.random(rows) < cells, rng.integers(0, len(table), rows), drawn)
        values = table[column.name].iloc[source].reset_index(drop=True)
        if jitter and not column.is_discrete:
            numbers = column.numbers(values)
            moved = numbers + rng.normal(0, jitter * np.nanstd(numbers), rows)
            values = column.from_numbers(moved)
        columns[column.name] = values
    return schema.assemble(columns)


def compare(
    schema: Schema,
    train: pd.DataFrame,
    holdout: pd.DataFrame | None,
    synthetic: pd.DataFrame,
    cap: int,
) -> None:
    """Print the searches of one pair of tables."""
    encoder, naive = Encoder(schema, train), OneHot(schema, train)
    real, fake = encoder.encode(train), encoder.encode(synthetic)
    near, far = naive.encode(train), naive.encode(synthetic)
    pairs = len(train) * len(synthetic)
    line("ours  L1 k=2, synthetic to train", lambda: knn(fake, real, 2), cap, pairs)
    if holdout is not None:
        kept = encoder.encode(holdout)
        line("ours  L1 k=2, holdout to train", lambda: knn(kept, real, 2), cap, pairs // 2)
    line(
        "ours  L2 k=5, synthetic to train",
        lambda: knn(far, near, 5, metric="euclidean"),
        cap,
        pairs,
    )

    def balls() -> None:
        radii = knn(near, near, 5, skip_self=True, metric="euclidean").distance[:, -1]
        counts_within(far, near, radii, "euclidean")

    line("ours  L2 k=5 in train, then counts within", balls, cap, 2 * pairs)
    for metric in ("manhattan", "euclidean"):
        for algorithm in ("brute", "kd_tree", "ball_tree"):
            name = f"scikit-learn {algorithm} {metric} k=2, synthetic to train"
            line(name, lambda m=metric, a=algorithm: reference(near, far, a, m), cap, pairs)


def reference(near: Encoded, far: Encoded, algorithm: str, metric: str) -> None:
    """Search by scikit-learn in the one-hot matrix."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=2, algorithm=algorithm, metric=metric)
    widths = [1 + int(max(map(np.max, pair))) for pair in zip(near.codes, far.codes, strict=True)]
    found.fit(dense(near, widths)).kneighbors(dense(far, widths))


def dense(rows: Encoded, widths: list[int]) -> np.ndarray:
    """Write one-hot vectors out."""
    vectors = [np.eye(width)[codes] for width, codes in zip(widths, rows.codes, strict=True)]
    return np.hstack([rows.numbers.T, *vectors])


def line(name: str, work: Callable[[], object], cap: int, pairs: int) -> None:
    """Measure and print one search."""
    found = measured(work, cap)
    if found is None:
        print(f"  {name:58} more than {cap} CPU s")
        return
    seconds, mib = found
    print(f"  {name:58} {seconds:7.2f} CPU s {mib:7.0f} MiB {pairs / seconds / 1e9:7.2f} G pairs/s")


def measured(work: Callable[[], object], cap: int) -> tuple[float, float] | None:
    """CPU seconds and growth in MiB of work in a process of its own; None if it was ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (cap, cap + 1))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        work()
        seconds = time.process_time() - started
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writer, pickle.dumps((seconds, grown / 1024)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(said) if said else None


def peak() -> None:
    """Print how near to the machine's peak distances are computed."""
    best = max(gflops(_product, 2 * 2048**3) for _ in range(5))
    rng = np.random.default_rng(0)
    first, second = (points(rng.normal(size=(POINTS, DIMENSIONS))) for _ in range(2))
    distances = Distances(first, second.tree, squared=True)
    leaf, queries = second.tree.leaves[0], np.arange(1024)
    operations = 2 * DIMENSIONS * (leaf.stop - leaf.start) * len(queries)
    block = max(
        gflops(lambda: distances.quick(leaf, leaf.start, leaf.stop, queries), operations)
        for _ in range(50)
    )
    whole = gflops(lambda: knn(first, second, 5, metric="euclidean"), 2 * DIMENSIONS * POINTS**2)
    print(f"matrix-multiply peak in float32, one thread: {best:.0f} GFLOP/s")
    print(f"  a block of distances, {DIMENSIONS} columns: {block:.0f} GFLOP/s, {block / best:.0%}")
    print(f"  a search among {POINTS} normal points: {whole:.0f} GFLOP/s, {whole / best:.0%}")


def _product() -> None:
    first = np.ones((2048, 2048), dtype=np.float32)
    np.matmul(first, first)


def gflops(work: Callable[[], object], operations: float) -> float:
    """10**9 operations per CPU second."""
    started = time.process_time()
    work()
    return operations / (time.process_time() - started) / 1e9


if __name__ == "__main__":
    main()
