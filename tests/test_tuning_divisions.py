"""The evidence for several divisions: where there is one choice alone, all searches choose it."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "scripts" / "tuning_divisions.py"


def test_searches_of_one_trial_choose_the_defaults_whatever_the_divisions():
    command = [sys.executable, SCRIPT, "cart", "--tables", "german_credit", "--rows", "100"]
    ran = subprocess.run(
        [*command, "--seeds", "2", "--trials", "1"],
        env=os.environ | {"OMP_NUM_THREADS": "2"},  # threads that forks would lack
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    *_, first, second, gain = ran.stdout.splitlines()
    for seed, line in enumerate((first, second)):
        generator, table, shown, *values = line.strip("| ").split(" | ")
        assert (generator, table, shown) == ("cart", "german_credit", str(seed))
        assert values[0] == values[1] == values[2]
        assert 0.5 < float(values[0]) < 1
    assert first.split(" | ")[3] != second.split(" | ")[3]
    assert gain == "cart: +0.0000 [+0.0000, +0.0000]"
