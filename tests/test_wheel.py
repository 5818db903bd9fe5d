"""The wheel works outside a checkout, and the source distribution has the tests."""

import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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
def installed(source, tmp_path_factory):
    """The `bin` folder of an environment that has the wheel and sees this one's other packages."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib"))  # its own .pth files are not read
    run(*pip, "--python", python, "install", "--no-deps", *folder.glob("*.whl"), cwd=folder)
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


def test_the_source_distribution_has_the_tests(source, tmp_path):
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    run(sys.executable, "-c", build, cwd=source)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"tests/conftest.py", "tests/test_wheel.py", "experiments/study_digits.yml", "README.md"} <= names
