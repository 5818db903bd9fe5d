"""The wheel works outside a checkout and has nothing else in it; the source distribution makes the same."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
pytestmark = pytest.mark.slow


def run(*command, cwd, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the project's files are, for setuptools to build in."""
    folder = tmp_path_factory.mktemp("source")
    listed = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel of the project."""
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel):
    """The `bin` folder of an environment that has the wheel and sees this one's other packages."""
    folder = wheel.parent
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib"))  # its own .pth files are not read
    run(*PIP, "--python", python, "install", "--no-deps", wheel, cwd=folder)
    return python.parent


def test_the_wheel_works_outside_a_checkout(installed, tmp_path):
    commands = installed / "nastransfer"
    home = {"NASTRANSFER_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    where = run(
        installed / "python", "-c", "import nastransfer_nni; print(nastransfer_nni.__file__)", cwd=tmp_path
    )
    assert str(installed.parent) in where
    assert "darts_digits.yml" in run(commands, "examples", cwd=tmp_path)
    script = run(commands, "loopback", cwd=tmp_path).strip().removeprefix("--require=")
    assert Path(script).is_file()
    size = ["--epochs=1", "--width=2", "--layers=3", "--batch-size=64", "--device=cpu"]
    run(commands, "search", *size, "--proxy=images:0.1", "--out=run/search", cwd=tmp_path, **home)
    assert list((tmp_path / "cache" / "kernels").glob("*.so")), "the kernels were compiled"
    found = "--arch=run/search/architecture.json"
    run(commands, "transfer", found, *size, "--out=run/transfer", cwd=tmp_path, **home)
    run(commands, "transfer", "--arch=DARTS_V2", *size, "--out=run/published", cwd=tmp_path, **home)
    run(commands, "report", "run", "--out=report", cwd=tmp_path, **home)
    assert "<html" in (tmp_path / "report" / "index.html").read_text()


def contents(wheel):
    """The files of a wheel with their hashes, without the record of them."""
    with zipfile.ZipFile(wheel) as file:
        return {each.filename: each.CRC for each in file.infolist() if not each.filename.endswith("/RECORD")}


def test_the_wheel_has_the_packages_and_examples_only(wheel):
    names = contents(wheel)
    examples = ".data/data/share/nastransfer_nni/experiments/"
    others = [name for name in names if ".dist-info/" not in name and examples not in name]
    assert {name.partition("/")[0] for name in others} == {"nastransfer_nni", "search_spaces", "strategies"}
    kinds = {Path(name).suffix for name in others if Path(name).name not in {"py.typed", "zoo.json"}}
    assert kinds <= {".py", ".pyi", ".j2", ".html", ".cjs", ".cpp", ".h"}


def test_the_source_distribution_has_the_tests_and_makes_the_same_wheel(source, wheel, tmp_path):
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    run(sys.executable, "-c", build, cwd=source)
    archive = next(tmp_path.glob("*.tar.gz"))
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"tests/conftest.py", "experiments/study_digits.yml", "README.md", "mkdocs.yml"} <= names
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, archive, cwd=tmp_path)
    assert contents(next(tmp_path.glob("*.whl"))) == contents(wheel)
