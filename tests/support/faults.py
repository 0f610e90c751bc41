"""Death between any two system calls of writing a record, once each; imported on nodes."""

import os

POINTS = tuple(
    f"{when} {call}"
    for call in ("fsync", "link", "unlink", "fsync-folder")
    for when in ("before", "after")
)


def strike(point):
    """End the job, unless one has ended here before."""
    from hostile import kill_job

    try:
        os.close(
            os.open(os.path.join(os.environ["SYNTHARENA_STRUCK"], point), os.O_CREAT | os.O_EXCL)
        )
    except FileExistsError:
        return
    kill_job()


def around(name, call, path_of):
    """Return a system call with a death before it and one after it."""

    def struck(*arguments, **options):
        path = path_of(*arguments)
        point = f"{name}-folder" if os.path.isdir(path) else name
        is_record = "/records/" in f"{path}/"
        if is_record:
            strike(f"before {point}")
        result = call(*arguments, **options)
        if is_record:
            strike(f"after {point}")
        return result

    return struck


if "SYNTHARENA_STRUCK" in os.environ and "SLURM_JOB_ID" in os.environ:
    os.fsync = around("fsync", os.fsync, lambda file: os.readlink(f"/proc/self/fd/{file}"))
    os.link = around("link", os.link, lambda source, target: str(target))
    os.unlink = around("unlink", os.unlink, str)
