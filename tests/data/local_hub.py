"""A Hugging Face Hub on this machine: as much of its protocol as opening a data set takes."""

import contextlib
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0" * 40


class LocalHub(BaseHTTPRequestHandler):
    """Serves `root/<owner>/<name>/...` as data sets, and refuses the files of the owner `closed`."""

    root: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer()

    def do_HEAD(self):
        self._answer()

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self._answer(self.rfile.read(length))

    def log_message(self, *_):
        pass

    def _answer(self, posted=b""):
        words = self.path.partition("?")[0].strip("/").split("/")
        is_about = words[0] == "api"
        owner, name, *rest = [*words[2 if is_about else 1 :], "", ""]  # other paths name no set
        folder = self.root / owner / name
        if owner == "closed" and not is_about:
            self._send(403, {"error": "no access"}, {"X-Error-Code": "GatedRepo"})
        elif not name or not folder.is_dir():
            self._send(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        elif not (path := folder.joinpath(*rest[2:])).exists():
            self._send(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
        elif is_about:
            self._send(200, self._about(folder, path, rest[:1], posted))
        else:
            self._send_file(path)

    def _about(self, folder, path, asked, posted):
        if asked == ["tree"]:
            return [entry(inside, folder) for inside in sorted(path.iterdir())]
        files = [entry(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        if asked == ["paths-info"]:
            wanted = json.loads(posted)["paths"]
            return [file for file in files if file["path"] in wanted]
        return {
            "id": "/".join(folder.parts[-2:]),
            "sha": COMMIT,
            "private": False,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": file["path"]} for file in files],
        }

    def _send_file(self, file):
        content = file.read_bytes()
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None] if first else content
        told = {"ETag": f'"{sha(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if first:
            told["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        self._send(206 if first else 200, part, told)

    def _send(self, status, body, headers=None):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def sha(content):
    return hashlib.sha1(content).hexdigest()


def entry(path, folder):
    content = path.read_bytes() if path.is_file() else b""
    return {
        "type": "file" if path.is_file() else "directory",
        "oid": sha(content),
        "size": len(content),
        "path": path.relative_to(folder).as_posix(),
    }


@contextlib.contextmanager
def serving(root):
    """A hub with the data sets under `root`; gives its address."""
    handler = type("Hub", (LocalHub,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
