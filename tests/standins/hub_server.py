"""A stand-in for the Hugging Face Hub: the endpoints that `huggingface_hub` really calls to push and to fetch a model.

Repositories are kept in memory; files of more than a few bytes that are not text go by LFS, as on the Hub. It has no
Xet storage, so the library must be told not to use it (HF_HUB_DISABLE_XET).
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_standin"


class Hub:
    """What the server holds."""

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, str]] = {}
        """Of each repository, the commit of each branch."""
        self.commits: dict[str, dict[str, bytes]] = {}
        self.messages: list[str] = []
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.agents: set[str] = set()
        self.url = ""
        self.sizes: dict[str, int] = {}
        """Lies about sizes, by file name."""

    def files(self, repository: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a revision."""
        return self.commits[self.branches[repository].get(revision, revision)]

    def commit(self, repository: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Let a branch have these files."""
        number = hashlib.sha1(f"{len(self.commits)}{repository}".encode(), usedforsecurity=False).hexdigest()
        self.commits[number] = dict(files)
        self.branches.setdefault(repository, {})[revision] = number
        return number


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def do_HEAD(self) -> None:
        self._fetch()

    def do_GET(self) -> None:
        path = self._begun()
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/(.+)", path):
            self._tree(found[1], unquote(found[2]))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(found[1], unquote(found[2] or "main"))
        else:
            self._fetch()

    def do_POST(self) -> None:
        path, body = self._begun(), self._body()
        if path != "/api/validate-yaml" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json(401, {"error": "Invalid username or password."})
        if path == "/api/validate-yaml":
            return self._json(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/(.+)", path):
            branches = self.hub.branches[found[1]]
            branches.setdefault(unquote(found[2]), branches["main"])
            return self._json(200, {})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            return self._preupload(json.loads(body))
        if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            return self._commit(found[1], unquote(found[2]), body)
        return self._json(404, {"error": "no such endpoint"})

    def do_PUT(self) -> None:
        path, body = self._begun(), self._body()
        self.hub.large[path.rsplit("/", 1)[-1]] = body
        self._json(200, {})

    def _begun(self) -> str:
        self.hub.requests.append(f"{self.command} {self.path}")
        self.hub.agents.add(self.headers.get("User-Agent", ""))
        return urlsplit(self.path).path

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.branches:
            return self._json(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
        if asked.get("visibility") == "private":
            self.hub.private.add(name)
        self.hub.commit(name, {".gitattributes": b"*.safetensors filter=lfs\n"})
        return self._json(200, {"url": f"{self.hub.url}/{name}"})

    def _preupload(self, asked: dict[str, Any]) -> None:
        modes = [
            {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
             "shouldIgnore": False}
            for file in asked["files"]
        ]  # fmt: skip
        self._json(200, {"files": modes})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {"oid": one["oid"], "size": one["size"]}
            | ({} if one["oid"] in self.hub.large else _upload(f"{self.hub.url}/lfs/{one['oid']}"))
            for one in asked["objects"]
        ]
        self._json(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repository: str, revision: str, body: bytes) -> None:
        files = dict(self.hub.files(repository, revision))
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    self.hub.messages.append(value["summary"])
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
                case other:
                    raise ValueError(other)
        number = self.hub.commit(repository, files, revision)
        self._json(200, {"commitUrl": f"{self.hub.url}/{repository}/commit/{number}", "commitOid": number})

    def _info(self, repository: str, revision: str) -> None:
        if (number := self._number(repository, revision)) is None:
            return
        siblings = [{"rfilename": name} for name in self.hub.commits[number]]
        self._json(200, {"id": repository, "modelId": repository, "sha": number, "siblings": siblings, "private": False,
                         "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

    def _tree(self, repository: str, revision: str) -> None:
        if (number := self._number(repository, revision)) is None:
            return
        self._json(200, [self._listed(*pair) for pair in self.hub.commits[number].items()])

    def _listed(self, name: str, content: bytes) -> dict[str, Any]:
        size = self.hub.sizes.get(name, len(content))
        listed: dict[str, Any] = {"type": "file", "path": name, "size": size, "oid": git_hash(content)}
        if name.endswith(".safetensors"):
            listed["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 130}
        return listed

    def _fetch(self) -> None:
        path = urlsplit(self.path).path if self.command == "GET" else self._begun()
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not found:
            return self._json(404, {"error": "no such endpoint"})
        if (number := self._number(found[1], unquote(found[2]))) is None:
            return None
        content = self.hub.commits[number].get(unquote(found[3]))
        if content is None:
            return self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha256(content).hexdigest() if found[3].endswith(".safetensors") else git_hash(content)
        return self._answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": number})

    def _number(self, repository: str, revision: str) -> str | None:
        """The commit of a revision; an answer was given where there is none."""
        allowed = repository not in self.hub.private or self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository not in self.hub.branches or not allowed:
            self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        number = self.hub.branches[repository].get(revision, revision)
        if number not in self.hub.commits:
            self._json(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            return None
        return number

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _upload(url: str) -> dict[str, Any]:
    return {"actions": {"upload": {"href": url}}}


def git_hash(content: bytes) -> str:
    """What git calls a file."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


@contextmanager
def running() -> Generator[Hub]:
    """A Hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
