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
OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError", "_ArrayMemoryError")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, that of the machine or of a GPU."""
    return type(error).__name__ in OUT_OF_MEMORY
