"""Run benchmarks, each in a process of its own.

python -m benchmarks                     # what there is
python -m benchmarks speed               # what `make bench` runs: speed and memory, about an hour
python -m benchmarks kills same_search   # these
"""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

SPEED = ("search_step", "final_network", "augmentation", "proxies")


def purposes() -> dict[str, str]:
    """The modules here that have a `main`, and the first line of what each says of itself."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        is_command = any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
        if is_command and path.stem[0] != "_":
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main() -> None:
    """Run the benchmarks that are asked for; exit code 1 where one failed, 2 for a name that is none."""
    known = purposes()
    chosen = SPEED if sys.argv[1:] == ["speed"] else tuple(sys.argv[1:])
    if not chosen or chosen[0] in {"-h", "--help"}:
        print(__doc__)
        for name, purpose in known.items():
            print(f"{name:16} {purpose}")
        return
    if unknown := [name for name in chosen if name not in known]:
        told = f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(known)}"
        print(f"error: {told}", file=sys.stderr)
        sys.exit(2)
    failed = []
    for number, name in enumerate(chosen, 1):
        print(f"== {name} ({number} of {len(chosen)}, {time.strftime('%H:%M')})", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
