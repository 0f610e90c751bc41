"""The statuses that a cell can end in; every record has exactly one."""

STATUSES = (
    "ok",
    "skipped",
    "failed",
    "timeout",
    "oom",
    "invalid_output",
    "budget_violation",
    "preempted",
)
ENDED_WELL = frozenset(("ok", "skipped"))  # nothing is to be mended
