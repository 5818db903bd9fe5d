"""Starts TensorBoard over a folder of links, one for each run, which have short names."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from nastransfer_nni.base.paths import expanded
from nastransfer_nni.board.config import BoardConfig
from nastransfer_nni.board.names import short_names
from nastransfer_nni.tracking.interruption import Interruption
from search_spaces.errors import UserError

SECONDS_BETWEEN_LOOKS = 20.0
"""Time after which new runs are looked for."""
IMAGES = 1000
"""Drawn cells that TensorBoard keeps of a run; by default it keeps ten."""


def show(config: BoardConfig) -> None:
    """Run TensorBoard until it is interrupted; runs that start meanwhile are added.

    Raises:
        UserError: the folder has no runs, or the port is in use.
    """
    folder = expanded(config.folder)
    if not _runs(folder):
        raise UserError(f"{config.folder} has no runs (folders that `search` and `transfer` have written)")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", config.port)) == 0:
            raise UserError(f"--port {config.port} is in use; name another one")
    with (
        Interruption().installed(),  # so that SIGTERM, too, ends TensorBoard and removes the links
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="nastransfer-tensorboard-") as links,
    ):
        link(folder, Path(links))
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", links, "--host", "127.0.0.1"]
        command += [f"--port={config.port}", f"--samples_per_plugin=images={IMAGES}"]
        process = subprocess.Popen([*command, f"--window_title={folder.name}"])
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SECONDS_BETWEEN_LOOKS)
                link(folder, Path(links))
        finally:
            process.terminate()
            process.wait()


def link(folder: Path, links: Path) -> None:
    """Link the event files of all runs below `folder` by short names; a name that is there stays.

    What tells runs apart may change with those that start later, so that a name may be taken.
    """
    known = {path.readlink() for path in links.iterdir()}
    for name, run in short_names(_runs(folder)).items():
        events = (run / "tensorboard").absolute()
        if events in known:
            continue
        link, number = links / name, 2
        while link.is_symlink():
            link, number = links / f"{name} ({number})", number + 1
        link.symlink_to(events, target_is_directory=True)


def _runs(folder: Path) -> list[Path]:
    """Folders of runs with event files, in the order in which they were started."""
    found = [path.parent for path in folder.glob("**/tensorboard") if (path.parent / "config.yaml").exists()]
    return sorted(found, key=lambda run: ((run / "tensorboard").stat().st_ctime, run))
