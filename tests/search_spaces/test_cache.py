"""Where computed things are kept from one run to the next."""

import shutil

import pytest

from search_spaces.cache import cache_folder
from search_spaces.cells.compiled import kernels


def test_the_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path / "named"))
    assert cache_folder("kernels") == tmp_path / "named" / "kernels"
    assert cache_folder("kernels").is_dir()
    monkeypatch.delenv("NASTRANSFER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("scores") == tmp_path / "xdg" / "nastransfer" / "scores"


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_compiled_loops_are_kept_there(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path))
    monkeypatch.setattr(kernels, "_FLAGS", ("-O0", "-std=c++17", "-fopenmp", "-shared", "-fPIC"))  # quick
    built = kernels._build()
    assert built.parent == tmp_path / "kernels" and built.is_file()
    compiled_at = built.stat().st_mtime_ns
    assert kernels._build() == built and built.stat().st_mtime_ns == compiled_at
