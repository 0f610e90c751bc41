"""Mounts: whether a folder lies on a network file system, where a database must not be."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

NETWORK = frozenset(
    (
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.beegfs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "wekafs",
    )
)
MOUNTINFO = Path("/proc/self/mountinfo")  # proc(5)


def network_kind(path: Path, mountinfo: Path = MOUNTINFO) -> str | None:
    """Return the kind of the network file system that a path is on, such as ``nfs4``.

    Parameters
    ----------
    path : Path
        Need not exist.
    mountinfo : Path
        The system's table of mounts.

    Returns
    -------
    str or None
        None if it is on this machine, or nobody knows.
    """
    wanted = path.resolve()
    best, kind = 0, None
    with contextlib.suppress(OSError):
        for line in mountinfo.read_text().splitlines():
            before, _, after = line.partition(" - ")
            point = Path(_unescaped(before.split()[4]))
            if wanted.is_relative_to(point) and len(point.parts) >= best:  # the last one is on top
                best, kind = len(point.parts), after.split()[0]
    return kind if kind in NETWORK else None


def _unescaped(text: str) -> str:
    """Undo the octal escapes of blanks in a mount point."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
