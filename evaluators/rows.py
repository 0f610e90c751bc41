"""Row hashes: one number for each row, equal where rows are equal.

Rows are compared by hashes of codes and numbers, never by distances: the squared-distance formula
of nearest-neighbour libraries calls about a third of exact copies different, by cancellation.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from ..bench.schema import Column, Schema


def row_hashes(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Hash the rows of a canonical table.

    The order of columns does not matter. Two different rows share a hash with a chance of about
    2**-64.

    Returns
    -------
    ndarray of uint64, shape (len(table),)
    """
    hashes = np.zeros(len(table), dtype=np.uint64)
    for column in schema:
        key = hashlib.sha256(column.name.encode(errors="surrogatepass")).digest()[:8]
        hashes += mix(_bits(column, table[column.name]) ^ np.frombuffer(key, dtype="<u8")[0])
    return hashes


def mix(bits: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers one to one (the finaliser of SplitMix64, Steele et al. 2014)."""
    bits = (bits + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def smallest(hashes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows by their content, so that the draw does not depend on the order of rows.

    Equal rows are drawn together; each row has the same chance.

    Returns
    -------
    ndarray of int64, shape (min(count, len(hashes)),)
        Positions of the drawn rows, in table order.
    """
    salt = rng.integers(2**63, dtype=np.uint64)
    if len(hashes) <= count:
        return np.arange(len(hashes))
    salted = mix(hashes ^ salt)
    return np.sort(np.argpartition(salted, count)[:count])


def _bits(column: Column, series: pd.Series) -> np.ndarray:
    if column.is_discrete:
        return column.codes(series).view(np.uint64)
    numbers = column.numbers(series) + 0.0  # -0.0 equals 0.0
    numbers[np.isnan(numbers)] = np.nan  # one bit pattern for every missing value
    return numbers.view(np.uint64)
