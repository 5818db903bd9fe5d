"""What no run has written is never changed and never removed, whatever comes."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastransfer_nni.base.files import write_text
from nastransfer_nni.tracking.run import Run
from search_spaces.errors import UserError

FOREIGN = {
    ".git/config": "[core]",
    ".git/objects/ab/cdef": "blob",
    ".env.local": "SECRET=1",
    ".eslintrc.json": "{}",
    ".config.yaml.original": "mine",
    ".lock": "mine",
    "config.yaml": "model: resnet\noptimizer: {lr: 0.1}\n",  # Hydra's
    "checkpoints/epoch3.ckpt": "weights",
    "tensorboard/events": "events",
    "status.json": '{"status": "fine"}',
    "notes.txt": "mine",
    "front/page.html": "<p>",
}


class Killed(BaseException):
    """Stands in for a kill: nothing of ours handles it."""


def act(action, path):
    options = {"overwrite": action == "overwrite", "names": [], "options": {"lr": 0.1}, "out": path}
    with contextlib.suppress(UserError, Killed), Run.open("demo", **options) as run:
        if run.finished is not None:
            return
        if action == "mistake":
            raise UserError("no GPU")
        write_text(run.metrics, "{}\n")
        (run.checkpoints / "last.pt").write_text("state")
        (run.path / f".summary.json.nastransfer-{action}").touch()
        if action == "kill":
            raise Killed
        if action == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        run.complete({"top1": 1.0})


def content(folder):
    """Every entry below a folder: the bytes of files, the targets of links, the modes of both."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        entry = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[name] = entry, path.lstat().st_mode
    return found


@settings(max_examples=150, deadline=None)
@given(
    names=st.sets(st.sampled_from(sorted(FOREIGN)), max_size=5),
    has_link=st.booleans(),
    is_there=st.booleans(),
    is_read_only=st.booleans(),
    actions=st.lists(
        st.sampled_from(["start", "mistake", "kill", "overwrite", "full"]), min_size=1, max_size=5
    ),
    late=st.sets(st.sampled_from([".git/HEAD", ".env", "notes.txt", "checkpoints/.mine", "front/my.json"])),
)
def test_foreign_entries_stay_as_they_are(names, has_link, is_there, is_read_only, actions, late):
    with tempfile.TemporaryDirectory() as root:
        outside, folder = Path(root, "outside"), Path(root, "folder")
        outside.mkdir()
        (outside / "photo").write_text("mine")
        if is_there or names or has_link:
            folder.mkdir()
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(FOREIGN[name])
            (folder / name).chmod(0o444 if is_read_only else 0o644)
        if has_link:
            (folder / "checkpoints").mkdir(exist_ok=True)
            (folder / ".link").symlink_to(outside)
        was_there, first = folder.is_dir(), content(folder) if folder.is_dir() else {}
        before, is_refused = dict(first), any(not name.startswith(".") for name in first)
        for action in actions:
            act(action, folder)
            if folder.is_dir() and late and not is_refused:
                name = late.pop()
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text("late")
                before |= {name: content(folder)[name]}
        after = content(folder) if folder.is_dir() else {}
        assert {name: after.get(name) for name in before} == before
        assert folder.is_dir() or not was_there
        assert (outside / "photo").read_text() == "mine"
        if is_refused:
            assert after == before, "a folder with visible files of others is refused"


def test_a_mistake_leaves_no_folder_that_was_not_there(tmp_path):
    act("mistake", tmp_path / "runs" / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"status": "completed"}'])
def test_a_damaged_status_counts_as_interrupted(damage, tmp_path):
    act("kill", tmp_path / "run")
    (tmp_path / "run" / "status.json").write_text(damage)
    act("start", tmp_path / "run")
    assert (tmp_path / "run" / "summary.json").is_file()


def test_a_damaged_summary_is_made_again(tmp_path):
    act("start", tmp_path / "run")
    (tmp_path / "run" / "summary.json").write_text('{"top1": 1')
    act("start", tmp_path / "run")
    assert (tmp_path / "run" / "summary.json").read_text() == '{\n  "top1": 1.0\n}\n'


def test_a_link_inside_a_run_is_removed_not_followed(tmp_path):
    act("start", tmp_path / "run")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me").touch()
    (tmp_path / "run" / "checkpoints" / "last.pt").unlink()
    (tmp_path / "run" / "checkpoints").rmdir()
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "photos")
    with Run.open("demo", names=[], options={}, out=tmp_path / "run", overwrite=True) as run:
        run.complete({})
    assert (tmp_path / "photos" / "me").exists() and not (tmp_path / "run" / "checkpoints").is_symlink()


def test_files_respect_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "private", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
