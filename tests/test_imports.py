"""Who may import whom, and what a wheel holds."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = {"contracts", "schema", "ledger", "accountant", "content"}
STATISTICS = {
    "boards.board",
    "boards.bootstrap",
    "boards.claims",
    "boards.grid",
    "boards.leaderboard",
    "boards.standings",
    "canonical",
    "numbers",
    "statuses",
}
CONFIGURATION = {"config"}  # the only module that may know Hydra and OmegaConf


def imports(path):
    """Yield what a file imports: (level, module, names)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name, []


def relative(path):
    """Yield the modules that a file imports from this project, as folder.module."""
    folders = path.relative_to(ROOT).parts[:-1]
    for level, module, names in imports(path):
        if level:
            base = ".".join([*folders[: len(folders) - level + 1], *filter(None, [module])])
            is_folder = (ROOT / base.replace(".", "/")).is_dir()
            yield from ([f"{base}.{name}" for name in names] if is_folder else [base])
        elif module.split(".")[0] == "syntharena":
            pytest.fail(f"{path}: imports between folders are relative, got {module}")


def files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", files("generators") + files("evaluators"), ids=lambda p: p.name)
def test_plug_ins_import_only_the_contracts_and_their_own_folder(path):
    for found in relative(path):
        folder, _, module = found.partition(".")
        assert folder == path.relative_to(ROOT).parts[0] or (folder, module.split(".")[0]) in {
            ("bench", name) for name in CONTRACTS
        }, f"{path.name} imports {found}"


@pytest.mark.parametrize("path", files("generators"), ids=lambda p: p.name)
def test_a_generator_imports_no_other_generator(path):
    generators = {p.stem for p in (ROOT / "conf" / "generator").glob("*.yaml")}
    for found in relative(path):
        folder, _, module = found.partition(".")
        assert not (folder == "generators" and module in generators), f"{path.name}: {found}"


@pytest.mark.parametrize("path", files("bench"), ids=lambda p: p.name)
def test_the_harness_imports_no_plug_in(path):
    assert all(found.startswith("bench.") for found in relative(path))


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_the_leaderboard_needs_numpy_and_pandas_only(name):
    path = ROOT / "bench" / f"{name.replace('.', '/')}.py"
    assert {found.removeprefix("bench.") for found in relative(path)} <= STATISTICS
    absolute = {module.split(".")[0] for level, module, _ in imports(path) if level == 0}
    foreign = absolute - set(sys.stdlib_module_names) - {"numpy", "pandas", "__future__"}
    assert not foreign


@pytest.mark.parametrize(
    "path", files("bench") + files("generators") + files("evaluators"), ids=lambda p: p.name
)
def test_hydra_stays_in_one_module(path):
    used = {module.split(".")[0] for level, module, _ in imports(path) if level == 0}
    assert not used & {"hydra", "omegaconf"} or path.stem in CONFIGURATION


def test_the_wheel_holds_every_file_and_no_bare_top_level_module(tmp_path):
    """Built from a copy, so that no build folder is left in the checkout."""
    copy = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file() and not name.startswith("results/"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(copy)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    top = {name.split("/")[0] for name in inside}
    assert {name for name in top if not name.endswith(".dist-info")} == {"syntharena"}
    for folder in ("bench", "generators", "evaluators", "conf"):
        for name in tracked:
            if name.startswith(f"{folder}/") and "__pycache__" not in name:
                assert f"syntharena/{name}" in inside, f"{name} is not in the wheel"
