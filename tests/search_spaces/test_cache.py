"""Where computed things are kept from one run to the next."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from search_spaces import cache
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


@pytest.fixture
def named(tmp_path, monkeypatch):
    """The cache that the environment names, and a folder for temporary files."""
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path / "named"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache._warn_once.cache_clear()
    return tmp_path / "named"


def test_code_is_kept_where_no_other_user_may_write(named, caplog):
    assert cache_folder("kernels", is_private=True) == named / "kernels"
    assert (named / "kernels").stat().st_mode & 0o777 == 0o700
    (named / "kernels").chmod(0o770)
    replacements = {cache_folder("kernels", is_private=True) for _ in range(2)}
    assert replacements == {named.parent / f"nastransfer-{os.geteuid()}" / "kernels"}
    assert "may be written by other users" in caplog.text and len(caplog.records) == 1
    assert all(cache.is_own(folder) for folder in replacements)
    assert cache_folder("kernels") == named / "kernels", "scores and features may be shared"


def test_a_temporary_folder_of_another_user_is_not_used(named):
    taken = named.parent / f"nastransfer-{os.geteuid()}"
    taken.mkdir()
    taken.chmod(0o777)
    named.touch()  # so that no folder can be made there
    folder = cache_folder("scores")
    assert folder.is_dir() and taken not in folder.parents and cache.is_own(folder.parent)


@pytest.mark.parametrize("home", ["", "/dev/null", "/proc"])
def test_a_home_that_cannot_be_written_is_replaced(home, tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("NASTRANSFER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home or str(tmp_path / "file"))
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache._warn_once.cache_clear()
    assert tmp_path in cache_folder("scores").parents
    assert "cannot be written" in caplog.text


def test_links_are_no_own_files(tmp_path):
    (tmp_path / "file").touch(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert cache.is_own(tmp_path / "file") and not cache.is_own(tmp_path / "link")
    assert not cache.is_own(tmp_path / "none")


@pytest.fixture
def built(named, monkeypatch):
    """A small library in place of the compiled loops; counts how often it is compiled."""
    compiled = []

    def run(*command):
        if "-o" in command:
            compiled.append(command)
            Path(command[-1]).write_bytes(b"library")
        return b"target"

    monkeypatch.setattr(kernels, "_run", run)
    monkeypatch.setenv("CXX", "c++")
    path = kernels._build()
    assert len(compiled) == 1 and path.read_bytes() == b"library"
    return path, compiled


def _truncate(path):
    path.write_bytes(path.read_bytes()[:3])


@pytest.mark.parametrize(
    "spoil",
    [
        _truncate,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"another"),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o620),
        lambda path: path.chmod(0o602),
        lambda path: path.with_suffix(".sha256").unlink(),
        lambda path: path.with_suffix(".sha256").chmod(0o666),
        lambda path: path.rename(path.parent / "x") and path.symlink_to(path.parent / "x"),
    ],
    ids=["cut", "empty", "changed", "missing", "group", "others", "no_digest", "digest_of_others", "link"],
)  # fmt: skip
def test_a_library_that_is_damaged_or_not_ours_is_compiled_again(spoil, built):
    path, compiled = built
    assert kernels._build() == path and len(compiled) == 1
    spoil(path)
    assert kernels._build() == path and len(compiled) == 2
    assert path.read_bytes() == b"library" and path.stat().st_mode & 0o777 == 0o600
    assert kernels._build() == path and len(compiled) == 2


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler")
def test_a_library_without_the_loops_is_said_in_one_line(tmp_path, monkeypatch, caplog):
    library = tmp_path / "x.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", os.devnull, "-o", library], check=True)
    monkeypatch.setattr(kernels, "_build", lambda: library)
    assert kernels.library.__wrapped__() is None
    assert "the slower one in plain torch is used" in caplog.text
