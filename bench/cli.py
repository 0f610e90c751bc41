"""The command line: ``syntharena`` and its verbs.

Nothing heavy is imported before it is needed, so help answers at once. Every error that a user can
cause is one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from .commands import data, plugins, records, run, score, sweeps, terminal
from .commands.common import Parser
from .names import UnknownName

EXAMPLES = """\
examples:
  syntharena run +experiment=quickstart
  syntharena run -m generator=cart,independent dataset=adult privacy=none,eps1 seed=0,1,2
  syntharena run generator=cart dataset.path=my.csv dataset.target=y
  syntharena run generator._target_=mylab.gen.MyGen dataset=adult
  syntharena tune generator=cart dataset=adult trials=30
  syntharena audit generator=mst dataset=three_bits privacy=eps1
  syntharena score --train a.csv --holdout b.csv --synthetic c.csv --html report.html
  syntharena leaderboard
  syntharena check generator._target_=mylab.gen.MyGen
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 all well, 1 findings, 2 wrong use."""
    sys.path.append(os.getcwd())  # so that a class in the user's folder can be named
    try:
        words = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
        options = _parse(words)
        options.command = shlex.join(["syntharena", *words])
        return options.run(options)
    except BrokenPipeError:  # the reader, head or less, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get("SYNTHARENA_TRACEBACK"):
            raise
        print(f"syntharena: {terminal.one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command; overrides may stand between options."""
    parser = _parser()
    verb = next((word for word in arguments if not word.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        raise UnknownName("verb", verb, VERBS)
    options, rest = parser.parse_known_args(arguments)
    if not hasattr(options, "overrides") or any(word.startswith("-") for word in rest):
        return parser.parse_args(arguments)
    options.overrides += rest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="syntharena",
        description="Benchmark generators of synthetic tables and compile leaderboards.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in VERBS.values():
        add(verbs)
    return parser


VERBS = {
    "run": run.run_verb,
    "tune": run.tune_verb,
    "audit": run.audit_verb,
    "score": score.score_verb,
    "leaderboard": records.leaderboard_verb,
    "list": plugins.list_verb,
    "check": plugins.check_verb,
    "verify": records.verify_verb,
    "status": sweeps.status_verb,
    "logs": sweeps.logs_verb,
    "cancel": sweeps.cancel_verb,
    "retry": sweeps.retry_verb,
    "mlflow": records.mlflow_verb,
    "data": data.data_verb,
}


if __name__ == "__main__":
    sys.exit(main())
