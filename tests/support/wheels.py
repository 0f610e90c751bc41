"""A folder of wheels that pip installs from without a network, in no time.

pandas is a wheel that holds the paths of this Python's pandas and numpy; ``waterlily`` is
a package that exists nowhere else.
"""

import zipfile
from importlib import metadata
from pathlib import Path

import numpy
import pandas

WATERLILY = '''\
"""Made up: what only the foreign environment has."""
VERSION = "{version}"


def grow(seed):
    return seed * 2
'''


def write_wheel(folder, name, version, files, requires=()):
    about = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)


def write_wheels(folder):
    folder.mkdir(parents=True, exist_ok=True)
    home = dict.fromkeys(str(Path(module.__file__).parent.parent) for module in (numpy, pandas))
    paths = {"home.pth": "\n".join(home) + "\n"}
    write_wheel(folder, "pandas", metadata.version("pandas"), paths)
    for version in ("1.2", "2.0"):
        text = WATERLILY.format(version=version)
        write_wheel(folder, "waterlily", version, {"waterlily.py": text})
    write_wheel(folder, "frog", "1.0", {"frog.py": ""}, requires=["waterlily<2"])
    return folder
