"""What the project takes of other packages is their public interface, in versions that it says."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import nastransfer_nni

ROOT = Path(__file__).parents[1]
PACKAGES = ("nastransfer_nni", "search_spaces", "strategies")
OTHERS = {"timm", "torch", "torchvision", "nni", "datasets", "pydantic", "pymoo", "sklearn", "scipy"}
NNI = "nastransfer_nni/nni_engine/"
"""The one place that knows NNI's inside, of the version that pyproject.toml pins."""


def private_names(path):
    """Private modules and names of other packages that a module imports or reads, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            found = [name for name in [ast.unparse(node)] if re.fullmatch(r"[\w.]+", name)]
        else:
            continue
        for name in found:
            parts = name.split(".")
            if parts[0] in OTHERS and any(re.fullmatch(r"_[a-z]\w*", part) for part in parts):
                yield name


@pytest.mark.parametrize("package", PACKAGES)
def test_only_public_interfaces_of_others_are_used(package):
    used = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / package).rglob("*.py")
        for name in private_names(path)
        if not name.startswith("torch._foreach_")  # documented by torch, despite the underscore
    }
    assert {name for path, name in used if not path.startswith(NNI)} == set()


def test_the_version_is_named_once_and_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert nastransfer_nni.__version__ == project["version"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\n## {project['version']} (" in (ROOT / "CHANGELOG.md").read_text("utf-8")
