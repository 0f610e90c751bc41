"""Readers invert the providers' formats; downloads end in pinned bytes or in one clear line."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import re
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest
import yaml

from syntharena.bench.data import datasets, sources

CONF = Path(str(resources.files("syntharena.conf"))) / "dataset"
QUICK = sources.Patience(stall=0.3, total=0.8, tries=2, pause=0.01)


def spec_of(name):
    return yaml.safe_load((CONF / f"{name}.yaml").read_text("utf-8"))


def canonical(name):
    places = [CONF / "tables"]
    if folder := os.environ.get("SYNTHARENA_DATA"):
        places.append(Path(folder))
    for place in places:
        if (path := place / f"{name}.csv.gz").is_file():
            return gzip.decompress(path.read_bytes())
    return pytest.skip(f"{name}.csv.gz is not in the data folder (SYNTHARENA_DATA)")


# Raw files, rebuilt from the canonical table in the provider's format


def rows_of(content):
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    return header, rows


def joined(rows, separator=",", end="\n", cell=lambda text: text):
    return "".join(separator.join(map(cell, row)) + end for row in rows).encode()


def whole(text):
    return text.removesuffix(".0")


def quoted(text):
    return f'"{text}"'


def unknown(text):
    return text or "?"


def adult_raw(header, rows):
    test = joined(rows[32561:], ", ", ".\n", unknown)
    return [
        joined(rows[:32561], ", ", "\n", unknown) + b"\n",
        b"|1x3 Cross validator\n" + test + b"\n",
    ]


def german_raw(header, rows):
    labels = spec_of("german_credit")["download"]["labels"]
    codes = {name: {text: code for code, text in texts.items()} for name, texts in labels.items()}
    coded = [
        [codes.get(n, {}).get(cell, cell) for n, cell in zip(header, row, strict=True)]
        for row in rows
    ]
    return [joined(coded, " ")]


def bank_raw(header, rows):
    numeric = {0, 5, 9, 11, 12, 13, 14}
    cells = [[c if i in numeric else quoted(c) for i, c in enumerate(row)] for row in rows]
    return [joined([map(quoted, header), *cells], ";")]


def magic_raw(header, rows):
    return [joined(rows, cell=whole)]


def shoppers_raw(header, rows):
    def cell(text):
        return text.upper() if text in ("True", "False") else whole(text)

    return [joined([header], end="\r\n") + joined(rows, end="\r\n", cell=cell)]


def beijing_raw(header, rows):
    return [joined([header]) + joined(rows, cell=lambda text: whole(text) or "NA")]


def diabetes_raw(header, rows):
    return [joined([header, *rows], end="\r\n", cell=unknown)]


def pima_raw(header, rows):
    fixed = [[*row[:6], f"{float(row[6]):.3f}", *row[7:]] for row in rows]
    return [joined(fixed).rstrip(b"\n")]


def heart_raw(header, rows):
    def short(text):
        return unknown(whole(text))

    def pointed(text):  # .7 for 0.7
        return re.sub(r"^(-?)0\.", r"\1.", short(text))

    cells = {"cleveland": unknown, "hungary": short, "switzerland": pointed, "va_long_beach": short}
    return [
        joined([row[1:] for row in rows if row[0] == site], cell=cell)
        for site, cell in cells.items()
    ]


def student_raw(header, rows):
    texts = [not rows[0][i].isdigit() for i in range(len(header))]
    cells = [[quoted(c) if t else c for c, t in zip(row, texts, strict=True)] for row in rows]
    return [joined([header, *cells], ";")]


def compas_raw(header, rows):
    floats = {header.index(n) for n in header if "days_" in n}
    plain = [[whole(c) if i in floats else c for i, c in enumerate(row)] for row in rows]
    table = pd.DataFrame(plain, columns=header)
    for i, name in enumerate(spec_of("compas_two_years")["download"]["drop"]):
        table.insert(5 * i, name, [f"{name} {k}" for k in range(len(table))])
    table.columns = [name.removesuffix(".1") for name in table.columns]
    return [table.to_csv(index=False).encode()]


def default_raw(header, rows):
    names = ["ID", *(f"X{i}" for i in range(1, 24)), "Y"]
    return [joined([names, *([str(i + 1), *row] for i, row in enumerate(rows))])]


def california_raw(header, rows):
    buffer = io.BytesIO()
    pd.DataFrame(rows, columns=header).astype(float).to_parquet(buffer)
    return [buffer.getvalue()]


def support_raw(header, rows):
    return [joined([["id", *header[1:]], *rows], cell=lambda c: quoted(c) if "," in c else c)]


def crlf_raw(header, rows):
    return [joined([header, *rows], end="\r\n")]


def lf_raw(header, rows):
    return [joined([header, *rows])]


RAW = {
    "adult": adult_raw,
    "german_credit": german_raw,
    "bank_marketing": bank_raw,
    "magic_gamma": magic_raw,
    "online_shoppers": shoppers_raw,
    "beijing_pm25": beijing_raw,
    "diabetes_130us": diabetes_raw,
    "diabetes_pima": pima_raw,
    "heart_disease_4sites": heart_raw,
    "student_por": student_raw,
    "compas_two_years": compas_raw,
    "default_credit": default_raw,
    "california_housing": california_raw,
    "support2": support_raw,
    "nist_acs_national2019": crlf_raw,
    "nist_acs_ma2018": crlf_raw,
    "nist_acs_ma2019": crlf_raw,
    "law_school": lf_raw,
}
# Here the rebuilt file has one digit, or bytes of names, other than the provider's.
NOT_TO_THE_BYTE = {
    "online_shoppers",
    "beijing_pm25",
    "compas_two_years",
    "california_housing",
}


@pytest.mark.parametrize("name", RAW)
def test_reader_gives_the_pinned_table(name):
    content, spec = canonical(name), spec_of(name)
    header, rows = rows_of(content)
    raw = RAW[name](header, rows)
    read = sources.read(spec["download"], raw, list(spec["columns"]))
    assert hashlib.sha256(read).hexdigest() == spec["pins"]["sha256"]
    if name not in NOT_TO_THE_BYTE:  # the rebuilt file is the provider's own
        for entry, rebuilt in zip(spec["download"]["files"], raw, strict=True):
            if "sha256" in entry:
                assert (len(rebuilt), hashlib.sha256(rebuilt).hexdigest()) == (
                    entry["bytes"],
                    entry["sha256"],
                )


@pytest.mark.parametrize("name", ["privbayes_nltcs", "privbayes_acs"])
def test_tab_separated_reader_gives_the_pinned_table(name):
    content = canonical(name)
    header, rows = rows_of(content)
    source = {"reader": "delimited", "separator": "\t", "header": False}
    assert sources.read(source, [joined(rows, "\t")], header) == content


def test_every_download_names_a_reader_and_web_addresses():
    for path in CONF.glob("*.yaml"):
        source = yaml.safe_load(path.read_text("utf-8"))["download"]
        if source is not None:
            assert source["reader"] in sources.READERS
            assert source["files"]
            assert all(entry["url"].startswith("https://") for entry in source["files"])


# Downloads from a server on loopback

CSV = b"id,x,y\n1,0.5,a\n2,1.5,b\n3,,a\n"


def zipped(member, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("other.txt", b"other")
        archive.writestr(member, content)
    return buffer.getvalue()


def tarred(member, content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Provider(BaseHTTPRequestHandler):
    """Serves CSV, or fails to in the way that the path names."""

    def do_GET(self):
        self.server.paths.append(self.path)
        count = self.server.paths.count(self.path)
        kind = self.path.strip("/")
        redirects = {"moved": "/table.csv", "loop": "/loop", "file": "file:///x", "ftp": "ftp://x/"}
        if kind in redirects:
            self.send_response(302)
            self.send_header("Location", redirects[kind])
            self.end_headers()
        elif kind.isdigit() or (kind == "flaky" and count == 1):
            self.send_error(int(kind) if kind.isdigit() else 503)
        else:
            self.serve(kind)

    def serve(self, kind):
        body = {
            "table.zip": zipped("in/table.csv", CSV),
            "table.tgz": tarred("in/table.csv", CSV),
            "falsified": CSV.replace(b"0.5", b"0.6"),
            "longer": CSV + b"4,1,a\n",
            "bomb.zip": zipped("in/table.csv", CSV + b"0" * 10**6),
        }.get(kind, CSV)
        self.send_response(200)
        if kind == "hang":
            time.sleep(2 * QUICK.stall)
        if kind != "unannounced":
            length = 10**12 if kind == "huge" else len(body)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body[:10] if kind in ("truncated", "slow") else body)
        for byte in body[10:] if kind == "slow" else b"":
            time.sleep(0.1)
            self.wfile.write(bytes([byte]))

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that gives up is what these tests are about."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Provider) as running:
        running.paths = []
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def spec(server):
    def make(path, member=None):
        entry = {
            "url": f"http://127.0.0.1:{server.server_port}/{path}",
            "bytes": len(CSV),
            "sha256": hashlib.sha256(CSV).hexdigest(),
        }
        return {
            "name": "toy",
            "columns": {
                "id": {"kind": "integer"},
                "x": {"kind": "continuous", "missing": True},
                "y": {"kind": "categorical", "categories": ["a", "b"]},
            },
            "identifiers": ["id"],
            "pins": {"rows": 3, "columns": 3, "sha256": hashlib.sha256(CSV).hexdigest()},
            "download": {
                "reader": "as_is",
                "files": [entry | ({"member": member} if member else {})],
            },
        }

    return make


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(sources, "Patience", lambda: QUICK)


@pytest.mark.parametrize("path", ["table.csv", "moved", "flaky", "unannounced"])
def test_download_is_kept_and_used_again(path, spec, server, quick, tmp_path):
    cache = tmp_path / "deep" / "cache"
    first = datasets.load(spec(path), cache_dir=cache)
    asked = len(server.paths)
    again = datasets.load(spec(path), cache_dir=cache)
    assert len(server.paths) == asked
    assert [file.name for file in cache.iterdir()] == ["toy.csv.gz"]
    pd.testing.assert_frame_equal(first.table, again.table)
    assert first.identifiers["id"].tolist() == ["1", "2", "3"]
    assert "id" not in first.table


@pytest.mark.parametrize("path", ["table.zip", "table.tgz"])
def test_member_of_an_archive_is_pinned(path, spec, quick, tmp_path):
    assert len(datasets.load(spec(path, "in/table.csv"), cache_dir=tmp_path).table) == 3


FAILURES = {
    "404": "answered 404",
    "500": "answered 500, 2 times",
    "truncated": "10 of 28 bytes came",
    "hang": "timed out",
    "slow": "came in time",
    "loop": "answered 302",
    "file": "'file:///x' is not allowed",
    "ftp": "an http or https address is expected, got 'ftp://x/'",
    "falsified": "is pinned, got",
    "longer": "at most 28 bytes are expected",
    "huge": "at most 28 bytes are expected, 1000000000000 were announced",
}


@pytest.mark.parametrize(("path", "rule"), FAILURES.items())
def test_failed_download_is_one_line_and_leaves_nothing(path, rule, spec, quick, tmp_path):
    with pytest.raises(datasets.DatasetError) as caught:
        datasets.load(spec(path), cache_dir=tmp_path)
    message = str(caught.value)
    assert rule in message
    assert f"/{path}" in message
    assert "put toy.csv.gz into the data folder" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "member", "rule"),
    [
        ("table.zip", "absent.csv", "an archive with 'absent.csv' is expected"),
        ("table.csv", "in/table.csv", "an archive with 'in/table.csv' is expected"),
        ("bomb.zip", "in/table.csv", "28 bytes are pinned, got 29"),
    ],
)
def test_failed_archive_is_one_line(path, member, rule, spec, quick, tmp_path):
    with pytest.raises(datasets.DatasetError, match=rule) as caught:
        datasets.load(spec(path, member), cache_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_unpinned_file_is_held_to_the_pins_of_the_table(spec, quick, tmp_path):
    stated = spec("falsified")
    stated["download"]["files"] = [{"url": stated["download"]["files"][0]["url"]}]
    with pytest.raises(datasets.DatasetError, match="is pinned for the table"):
        datasets.load(stated, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_asked_when_downloading_is_off(spec, server, tmp_path):
    with pytest.raises(datasets.DatasetError, match="downloading is off; put toy"):
        datasets.load(spec("table.csv"), cache_dir=tmp_path, download=False)
    assert server.paths == []


def test_wrong_format_is_one_line(spec, quick, tmp_path):
    stated = spec("table.csv")
    stated["download"] |= {"reader": "delimited", "header": False, "drop": ["z"]}
    with pytest.raises(datasets.DatasetError, match="not in the format of reader 'delimited'"):
        datasets.load(stated, cache_dir=tmp_path)
