"""What a specification says of the environment that its class needs, and where that class is.

``environment`` of a generator or an evaluator is a mapping of

``requirements``
    Packages as pip is given them.
``no_dependencies``
    Packages that are installed after those, without what they ask for themselves: for one whose
    pins cannot be met and need not be.
``file``
    A file of requirements, instead of the list.
``project``
    A folder with the class: one with ``pyproject.toml`` is installed (editable), with what it
    depends on; of one with ``requirements.txt`` these are, and its modules are found.
``python``
    A version ("3.12"); that of the sweep by default.

Files and folders are taken from the current folder. ``resolve`` reads them once, when a grid is
planned, so that what a cell says of its environment is the same in every process.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..canonical import digest

RESOLVED = "resolved"  # the key of what has been read, in a specification
KEYS = ("requirements", "no_dependencies", "file", "project", "python")
SOURCES = (".py", ".pyx", ".pxd", ".c", ".cc", ".cpp", ".cu", ".h", ".rs", ".toml", ".cfg")
NO_SOURCES = ("__pycache__", "build", "dist", "node_modules")
LISTED = "requirements.txt"
BUILD_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


class EnvironmentSpecError(ValueError):
    """An ``environment`` says what cannot be made."""


@dataclass(frozen=True)
class Environment:
    """An environment as a specification wants it.

    Parameters
    ----------
    requirements, no_dependencies : tuple of str
        Lines as of a file of requirements; those of a project are not among them.
    python : str or None
        Its version, such as "3.12"; None for that of this process.
    project : str or None
        The folder of a project, as it was written.
    listed : tuple of str
        The requirements that the project's own file lists, if it is no package.
    folder : str or None
        The same, absolute.
    sources : str or None
        SHA-256 of the project's sources.
    """

    requirements: tuple[str, ...] = ()
    no_dependencies: tuple[str, ...] = ()
    python: str | None = None
    project: str | None = None
    listed: tuple[str, ...] = ()
    folder: str | None = None
    sources: str | None = None

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Environment | None:
        """Return what a specification wants; None if it runs at home.

        Raises
        ------
        EnvironmentSpecError
            If it is not understood; the message is one line.
        """
        wanted = spec.get("environment")
        if wanted is None:
            return None
        if not isinstance(wanted, Mapping):
            raise EnvironmentSpecError(f"environment must be a mapping, got {wanted!r}")
        if (known := wanted.get(RESOLVED)) is not None:
            fields: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}
            return cls(**fields)
        return _read(wanted)

    @classmethod
    def wanted_by(cls, spec: Mapping[str, Any]) -> Environment:
        """Return what a specification wants that does not run at home."""
        found = cls.of(spec)
        assert found is not None
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """What of it decides results: all but where the project lies."""
        said = {name: getattr(self, name) for name in ("python", "project", "sources")}
        packages = {
            "requirements": list(self.requirements),
            "no_dependencies": list(self.no_dependencies),
        }
        return {name: value for name, value in {**packages, **said}.items() if value}

    @property
    def lines(self) -> tuple[str, ...]:
        """The requirements, with those that the project's own file lists."""
        return self.requirements + self.listed

    @property
    def version(self) -> str:
        """The version of Python that it has: major.minor."""
        return self.python or f"{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def is_installed(self) -> bool:
        """Whether its project is a package to be installed."""
        return self.folder is not None and _is_package(Path(self.folder))

    @property
    def key(self) -> str:
        """SHA-256 of all that its making depends on: names its folder."""
        made_of: dict[str, Any] = {
            "requirements": self.lines,
            "no_dependencies": self.no_dependencies,
            "python": self.version,
            "platform": sysconfig.get_platform(),
        }
        if self.is_installed:
            folder = Path(str(self.folder))
            files = [folder / name for name in BUILD_FILES]
            made_of["project"] = self.folder
            made_of["build"] = [_sha256(path) for path in files if path.is_file()]
        return digest(made_of)

    @property
    def text(self) -> str:
        """What it holds, for people: its packages or its project, and its Python if that is set."""
        listed = self.no_dependencies + self.requirements
        packages = [re.split(r"[;@ ]", line)[0] for line in listed]
        named = self.project or ", ".join(packages[:2]) + (", ..." if len(packages) > 2 else "")
        return f"{named or 'pandas'}{f', Python {self.python}' if self.python else ''}"


def resolve(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification whose ``environment`` needs no file any more."""
    environment = Environment.of(spec)
    if environment is None:
        return {key: value for key, value in spec.items() if key != "environment"}
    return {**spec, "environment": {RESOLVED: asdict(environment)}}


def _read(wanted: Mapping[str, Any]) -> Environment:
    for key in wanted:
        if key not in KEYS:
            raise EnvironmentSpecError(f"environment has {', '.join(KEYS)}, got {key!r}")
    python = wanted.get("python")
    if python is not None and not (isinstance(python, str) and re.fullmatch(r"3\.\d+", python)):
        raise EnvironmentSpecError(
            f'environment.python must be a quoted version such as "3.12", got {python!r}'
        )
    requirements = _lines(wanted, "requirements")
    if (file := wanted.get("file")) is not None:
        requirements += read_requirements(Path(str(file)))
    project, listed, folder, sources = wanted.get("project"), (), None, None
    if project is not None:
        folder = Path(str(project)).absolute()
        if not _is_package(folder):
            if not (folder / LISTED).is_file():
                raise EnvironmentSpecError(
                    f"environment.project must be a folder with pyproject.toml or {LISTED}, "
                    f"got {str(project)!r}"
                )
            listed = read_requirements(folder / LISTED)
        sources = _digest_of_sources(folder)
    without = _lines(wanted, "no_dependencies")
    if not requirements and not without and project is None:
        raise EnvironmentSpecError("environment needs requirements, a file or a project")
    place = None if folder is None else str(folder)
    return Environment(requirements, without, python, project, listed, place, sources)


def _lines(wanted: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = wanted.get(key) or ()
    if isinstance(given, str) or not all(isinstance(line, str) for line in given):
        raise EnvironmentSpecError(f"environment.{key} must be a list of packages, got {given!r}")
    return tuple(given)


def read_requirements(path: Path) -> tuple[str, ...]:
    """Return the lines of a file of requirements, without comments.

    Raises
    ------
    EnvironmentSpecError
        If there is none, or it refers to another file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise EnvironmentSpecError(
            f"a file of requirements is needed, got {str(path)!r} ({error.strerror})"
        ) from error
    joined = re.sub(r"\\\n\s*", "", text)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    found = tuple(filter(None, lines))
    for line in found:
        if re.match(r"(-r|-c|-e|--requirement|--constraint|--editable)\b", line):
            raise EnvironmentSpecError(
                f"{path.name} must list packages themselves, got {line!r}; write out what it names"
            )
    return found


def _is_package(folder: Path) -> bool:
    """Whether a folder can be installed; pyproject.toml may also hold settings of tools only."""
    if (folder / "setup.py").is_file():
        return True
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise EnvironmentSpecError(
            f"{folder / 'pyproject.toml'} cannot be read: {error}"
        ) from error
    return "project" in project or "build-system" in project


def _digest_of_sources(folder: Path) -> str:
    files = {str(path.relative_to(folder)): _sha256(path) for path in _sources(folder)}
    return digest(files)


def _sources(folder: Path) -> Iterator[Path]:
    """Yield the files of a project that make its code; no data, results or environments."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            hidden = path.name.startswith(".") or path.name in NO_SOURCES
            if not hidden and not (path / "pyvenv.cfg").exists() and not path.is_symlink():
                yield from _sources(path)
        elif path.suffix in SOURCES or path.name == LISTED:
            yield path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Where the class is


@dataclass(frozen=True)
class Source:
    """The file of a class, as it can be found without importing anything.

    Parameters
    ----------
    root : Path
        The folder from which its module is imported; None for one of ours.
    file : Path
        Of the module.
    """

    root: Path | None
    file: Path


def find_source(target: str, environment: Environment) -> Source | None:
    """Return the file of ``target``; None if it is not on this machine outside the environment."""
    *packages, module, _ = target.split(".")
    if packages[:1] == ["syntharena"]:
        return _ours([*packages, module])
    roots = _project_roots(environment)
    top = (*packages, module)[0]
    try:
        found = None if top in sys.builtin_module_names else importlib.util.find_spec(top)
    except (ImportError, ValueError):
        found = None
    if found is not None:
        places = found.submodule_search_locations or ([found.origin] if found.origin else [])
        roots += [Path(place).parent for place in places if not _is_library(Path(place))]
    for root in roots:
        for end in (f"{module}.py", f"{module}/__init__.py"):
            if (file := root.joinpath(*packages, end)).is_file():
                return Source(root, file)
    return None


def _ours(names: list[str]) -> Source | None:
    found = importlib.util.find_spec(".".join(names))
    return None if found is None or found.origin is None else Source(None, Path(found.origin))


def _project_roots(environment: Environment) -> list[Path]:
    folder = environment.folder
    return [] if folder is None else [Path(folder, "src"), Path(folder)]


def _is_library(place: Path) -> bool:
    """Whether a file belongs to this Python, which a foreign one must not see."""
    installed = {"site-packages", "dist-packages"}.intersection(place.parts)
    return bool(installed) or Path(sysconfig.get_paths()["stdlib"]) in place.parents


def version_of_source(spec: Mapping[str, Any]) -> str | None:
    """Return the hash of the code that a specification names, where it declares no version."""
    environment = Environment.wanted_by(spec)
    if environment.sources:
        return f"source:{environment.sources[:16]}"
    source = find_source(spec["_target_"], environment)
    return None if source is None else f"source:{_sha256(source.file)[:16]}"


def problem_of_source(file: Path, name: str, methods: tuple[str, ...]) -> str | None:
    """Say what a module lacks to have a class with these methods, without importing it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            has = {part.name for part in node.body if isinstance(part, functions)}
            absent = [method for method in methods if method not in has]
            if absent and not node.bases:
                return f"{name!r} has no method {' and no method '.join(absent)}"
            return None
    named = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    named |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return None if name in named or "*" in named else f"{file.name} has no {name!r}"
