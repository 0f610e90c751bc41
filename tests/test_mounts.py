"""Where a database must not be."""

from pathlib import Path

import pytest

from syntharena.bench import tracking
from syntharena.bench.mounts import network_kind

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:30 / /home rw shared:2 - nfs4 server:/home rw,vers=4.2
41 40 0:31 / /home/me/local\040disk rw - xfs /dev/sdb1 rw
42 22 0:32 / /scratch rw - lustre mgs@tcp:/scratch rw
43 22 0:33 / /scratchy rw - tmpfs tmpfs rw
44 22 0:34 / /scratch rw - beegfs beegfs_nodev rw
"""


@pytest.fixture
def mountinfo(tmp_path):
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS.lstrip())
    return path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/tmp/x", None),
        ("/home/me/results/mlflow.db", "nfs4"),
        ("/home/me/local disk/mlflow.db", None),
        ("/scratch/x", "beegfs"),
        ("/scratchy/x", None),
        ("/homes/x", None),
    ],
)
def test_the_innermost_mount_decides(path, kind, mountinfo):
    assert network_kind(Path(path), mountinfo) == kind


def test_without_a_table_of_mounts_nothing_is_refused(tmp_path):
    assert network_kind(tmp_path, tmp_path / "none") is None
    assert network_kind(tmp_path) is None


def test_a_database_on_a_network_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(tracking, "network_kind", lambda path: "nfs4")
    with pytest.raises(ValueError, match=r"'sqlite:////home/x\.db' on a network file .*nfs4"):
        tracking.tracking_uri("sqlite:////home/x.db", Path("/home"))
    with pytest.raises(ValueError, match="network file system"):
        tracking.tracking_uri(None, Path("/home"))
    assert tracking.tracking_uri("http://server:5000", Path("/home")) == "http://server:5000"
    assert tracking.tracking_uri("none", Path("/home")) is None


def test_a_default_database_there_is_left_out_with_a_word(monkeypatch, store, capsys):
    from syntharena.bench.commands import terminal

    monkeypatch.setattr(tracking, "network_kind", lambda path: "lustre")
    found = terminal.watchers(store, {"uri": None, "experiment": "x"}, quiet=True)
    assert len(found) == 1
    assert "MLflow is not written: SQLite must be" in capsys.readouterr().err
    with pytest.raises(ValueError, match="lustre"):
        terminal.watchers(store, {"uri": "sqlite:////x.db", "experiment": "x"}, quiet=True)
