"""A Hugging Face Hub on this machine: as much of its protocol as opening and pushing a repository takes."""

import base64
import contextlib
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

TOKEN = "hf_of_the_local_hub"
"""Who sends this one may push."""
LARGE = (".safetensors", ".png")
"""Files that are uploaded as Git LFS does it; others are part of the commit."""


class LocalHub(BaseHTTPRequestHandler):
    """Serves `root/<owner>/<name>/...` as data sets, `root/models/...` as models; `closed` gives no files."""

    root: Path
    private: set
    uploaded: dict
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer()

    def do_HEAD(self):
        self._answer()

    def do_POST(self):
        posted = self._read()
        if is_writing(self.path) and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid username or password."})
        elif is_writing(self.path):
            self._write(self.path.partition("?")[0].strip("/").split("/"), posted)
        else:
            self._answer(posted)

    def do_PUT(self):
        content = self._read()
        self.uploaded[hashlib.sha256(content).hexdigest()] = content
        self._send(200, {})

    def _read(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, *_):
        pass

    def _answer(self, posted=b""):
        words = self.path.partition("?")[0].strip("/").split("/")
        is_about = words[0] == "api"
        kind, *parts = words[1:] if is_about else words if words[0] == "datasets" else ["models", *words]
        owner, name, *rest = [*parts, "", ""]  # other paths name no repository
        folder = self._folder(kind, owner, name)
        if owner == "closed" and not is_about:
            self._send(403, {"error": "no access"}, {"X-Error-Code": "GatedRepo"})
        elif not name or not folder.is_dir():
            self._send(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        elif not (path := folder.joinpath(*rest[2:])).exists():
            self._send(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
        elif is_about:
            self._send(200, self._about(folder, path, rest[:1], posted))
        else:
            self._send_file(path, folder)

    def _folder(self, kind, owner, name):
        return (self.root / "models" if kind == "models" else self.root) / owner / name

    def _write(self, words, posted):
        """Answer a request of a push, whose last step writes the files of a commit."""
        asked = {} if "commit" in words else json.loads(posted)
        if words[1:] == ["repos", "create"]:
            owner, kind = asked["organization"], f"{asked.get('type') or 'model'}s"
            folder = self._folder(kind, owner, asked["name"])
            prefix = "" if kind == "models" else f"{kind}/"
            told = {"url": f"http://{self.headers['Host']}/{prefix}{owner}/{asked['name']}"}
            if folder.exists():
                self._send(409, {"error": "You already created this repo", **told})
                return
            folder.mkdir(parents=True)
            if asked.get("visibility") == "private":
                self.private.add(folder)
            self._send(200, told)
        elif words[1:] == ["validate-yaml"]:
            wrong = [{"message": '"license" is not known'}] if "license: none" in asked["content"] else []
            self._send(400 if wrong else 200, {"errors": wrong, "warnings": []})
        elif "preupload" in words:
            modes = [
                {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular"}
                for file in asked["files"]
            ]
            self._send(200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif words[-1] == "batch":
            href = f"http://{self.headers['Host']}/lfs"
            objects = [{**each, "actions": {"upload": {"href": href}}} for each in asked["objects"]]
            self._send(200, {"transfer": "basic", "objects": objects})
        else:
            self._commit(self._folder(*words[1:4]), map(json.loads, posted.splitlines()))

    def _commit(self, folder, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                (folder / value["path"]).write_bytes(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                (folder / value["path"]).write_bytes(self.uploaded[value["oid"]])
        url = f"http://{self.headers['Host']}/{'/'.join(folder.parts[-2:])}/commit/{commit(folder)}"
        self._send(200, {"commitOid": commit(folder), "commitUrl": url})

    def _about(self, folder, path, asked, posted):
        if asked == ["tree"]:
            return [entry(inside, folder) for inside in sorted(path.iterdir())]
        files = [entry(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        if asked == ["paths-info"]:
            wanted = json.loads(posted)["paths"]
            return [file for file in files if file["path"] in wanted]
        return {
            "id": "/".join(folder.parts[-2:]),
            "sha": commit(folder),
            "private": folder in self.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": file["path"]} for file in files],
        }

    def _send_file(self, file, folder):
        content = file.read_bytes()
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None] if first else content
        told = {"ETag": f'"{sha(content)}"', "X-Repo-Commit": commit(folder), "Accept-Ranges": "bytes"}
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


def commit(folder):
    """The commit of what is in the folder now."""
    files = [entry(path, folder) for path in sorted(folder.rglob("*"))]
    return sha(json.dumps(files).encode())


def is_writing(path):
    words = path.partition("?")[0].split("/")
    return words[-1] in ("create", "validate-yaml", "batch") or {"preupload", "commit"} & {*words}


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
    """A hub with the repositories under `root`; gives its address."""
    handler = type("Hub", (LocalHub,), {"root": root, "private": set(), "uploaded": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
