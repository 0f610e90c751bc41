"""Generators for tests of sweeps, on whatever launcher, and what must be equal afterwards."""

from pathlib import Path

from syntharena.bench.boards import leaderboard, render

SUPPORT = Path(__file__).parent
HONEST = {"_target_": "hostile.Honest", "about": {"version": 1, "name": "honest"}}


def hostile(name, **fields):
    return {"_target_": f"hostile.{name}", "about": {"version": 1, "name": name}, **fields}


def board_text(store):
    """Everything of a board that does not depend on how long things took."""
    board = leaderboard.compile(
        store.records(), store.expected(), families=["fidelity", "utility", "privacy"]
    )
    return render.to_markdown(board)
