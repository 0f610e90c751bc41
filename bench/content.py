"""Content: rows told apart, drawn and divided by what they hold, never by where they stand.

The order of rows and columns changes nothing. Rows are compared by hashes of codes and numbers,
never by distances: the squared-distance formula of nearest-neighbour libraries calls about a third
of exact copies different, by cancellation. Where rows are drawn or divided, equal ones differ by
their number among their equals, so a table of few distinct rows is still divided evenly.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from .schema import Column, Schema


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


def number_among_equals(values: np.ndarray) -> np.ndarray:
    """Count, for each value, the equal ones before it; int64."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    numbers = np.empty(len(values), dtype=np.int64)
    numbers[order] = np.arange(len(values)) - np.searchsorted(ordered, ordered, side="left")
    return numbers


def keys(hashes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give each row a pseudo-random key by its content.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n,)
        What ``row_hashes`` returned.
    rng : Generator
        Tables that are handed generators of equal state get comparable keys: a row and its copy in
        another table have the same.

    Returns
    -------
    ndarray of uint64, shape (n,)
        Equal only by chance, about 2**-64 for each pair of rows.
    """
    salt = rng.integers(2**63, dtype=np.uint64)
    return mix(hashes ^ salt ^ mix(number_among_equals(hashes).astype(np.uint64)))


def draw_rows(hashes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows by their content; each has the same chance.

    Returns
    -------
    ndarray of int64, shape (min(count, len(hashes)),)
        Positions of the drawn rows, in table order.
    """
    drawn = keys(hashes, rng)
    if len(hashes) <= count:
        return np.arange(len(hashes))
    return np.sort(np.argpartition(drawn, count)[:count])


def halves(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows in two by their keys; the first half is the larger where their number is odd.

    Returns
    -------
    tuple of ndarray of int64
        Positions of the rows, in table order.
    """
    order = np.argsort(keys, kind="stable")
    middle = (len(keys) + 1) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])


def in_order(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Put rows in an order of their content; the index goes with them."""
    return table.iloc[np.argsort(row_hashes(table, schema), kind="stable")]


def _bits(column: Column, series: pd.Series) -> np.ndarray:
    if column.is_discrete:
        return column.codes(series).view(np.uint64)
    numbers = column.numbers(series) + 0.0  # -0.0 equals 0.0
    numbers[np.isnan(numbers)] = np.nan  # one bit pattern for every missing value
    return numbers.view(np.uint64)
