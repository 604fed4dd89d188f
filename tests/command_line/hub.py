"""A Hub on this machine: repositories, commits and large files over the Hub's own HTTP API."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.functions.stand_ins import serve

TOKEN = "hf_writes"
READER = "hf_reads"
LARGE = (".safetensors", ".bin", ".onnx")


@dataclass
class Commit:
    summary: str
    branch: str
    oid: str


@dataclass
class Repository:
    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[Commit] = field(default_factory=list)

    def sha(self, branch: str) -> str:
        made = [commit.oid for commit in self.commits if commit.branch == branch]
        return made[-1] if made else "0" * 40


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, code: str | None = None, **more: object) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, {"error": message, **more}


class Hub:
    """Keeps what is pushed to it, and takes no large file while it `is_full`.

    Where they are set, every request gets `instead` (status, content type and body), and every
    commit is `refused` (status and message).
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.verified: set[str] = set()
        self.metadata: list[str] = []
        self.is_full = False
        self.instead: tuple[int, str, str] | None = None
        self.refused: tuple[int, str] | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                try:
                    status, headers, answer = hub.answer(
                        self.command, self.path, self.headers, body
                    )
                except Refused as refused:
                    status, headers = refused.status, {"x-error-message": refused.body["error"]}
                    if refused.code:
                        headers["x-error-code"] = refused.code
                    answer = json.dumps(refused.body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, str(value))
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_HEAD = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        serve(self._server)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        model = r"/api/models/(?P<name>[^/]+/[^/]+)"
        self._routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", r"/api/whoami-v2", self.whoami),
            ("POST", r"/api/repos/create", self.create),
            ("POST", r"/api/validate-yaml", self.validate),
            ("GET", model, self.info),
            ("GET", model + r"/revision/(?P<revision>[^/]+)", self.info),
            ("GET", model + r"/tree/(?P<revision>[^/]+)", self.tree),
            ("POST", model + r"/branch/(?P<branch>[^/]+)", self.branch),
            ("POST", model + r"/preupload/(?P<branch>[^/]+)", self.preupload),
            ("POST", model + r"/commit/(?P<branch>[^/]+)", self.commit),
            ("POST", r"/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", self.batch),
            ("PUT", r"/large/(?P<oid>\w+)", self.upload),
            ("POST", r"/verify/(?P<oid>\w+)", self.verify),
            ("GET", r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", self.file),
            ("HEAD", r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", self.file),
        ]

    def close(self) -> None:
        self._server.shutdown()

    def answer(
        self, method: str, path: str, headers: Any, body: bytes
    ) -> tuple[int, dict[str, Any], bytes]:
        if self.instead is not None:
            status, kind, content = self.instead
            return status, {"content-type": kind}, content.encode()
        path = unquote(urlsplit(path).path)
        for wanted, pattern, operation in self._routes:
            match = re.fullmatch(pattern, path)
            if wanted == method and match:
                # Where large files go is signed in its address.
                if operation != self.upload:
                    self._authorise(method, headers.get("authorization"))
                answered = operation(body, **match.groupdict())
                if isinstance(answered, tuple):
                    return answered
                return 200, {"content-type": "application/json"}, json.dumps(answered).encode()
        raise Refused(404, f"no route for {method} {path}")

    def _authorise(self, method: str, authorization: str | None) -> None:
        if authorization not in (f"Bearer {TOKEN}", f"Bearer {READER}"):
            raise Refused(401, "Invalid credentials in Authorization header")
        if method != "GET" and method != "HEAD" and authorization == f"Bearer {READER}":
            raise Refused(403, "You don't have the rights to create a model under this namespace")

    def whoami(self, _: bytes) -> Any:
        return {"type": "user", "name": "someone", "orgs": [{"name": "acme"}]}

    def create(self, body: bytes) -> Any:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repositories:
            raise Refused(409, "You already created this model repo", url=f"{self.url}/{name}")
        # What is not asked to be private is public, as on the Hub.
        self.repositories[name] = Repository(private=asked.get("private", False))
        return {"url": f"{self.url}/{name}", "name": name}

    def validate(self, body: bytes) -> Any:
        self.metadata.append(json.loads(body)["content"])
        return {"errors": [], "warnings": []}

    def info(self, _: bytes, name: str, revision: str = "main") -> Any:
        repository, branch = self._found(name, revision)
        siblings = [{"rfilename": path} for path in repository.branches[branch]]
        known = {"id": name, "modelId": name, "private": repository.private, "tags": []}
        return {**known, "sha": repository.sha(branch), "siblings": siblings}

    def tree(self, _: bytes, name: str, revision: str) -> Any:
        repository, branch = self._found(name, revision)
        return [
            {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
            for path, content in repository.branches[branch].items()
        ]

    def branch(self, _: bytes, name: str, branch: str) -> Any:
        repository = self.repositories[name]
        if branch in repository.branches:
            raise Refused(409, "Reference already exists")
        repository.branches[branch] = dict(repository.branches["main"])
        return {}

    def preupload(self, body: bytes, name: str, branch: str) -> Any:
        repository, _ = self._found(name, branch)
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": self._known(repository, branch, file["path"]),
                }
                for file in json.loads(body)["files"]
            ]
        }

    def _known(self, repository: Repository, branch: str, path: str) -> str | None:
        content = repository.branches[branch].get(path)
        return None if content is None else _oid(content, large=path.endswith(LARGE))

    def batch(self, body: bytes, name: str) -> Any:
        asked = json.loads(body)
        assert asked["operation"] == "upload"
        assert "basic" in asked["transfers"]
        objects = []
        for one in asked["objects"]:
            actions = {
                "upload": {"href": f"{self.url}/large/{one['oid']}"},
                "verify": {"href": f"{self.url}/verify/{one['oid']}"},
            }
            held = one["oid"] in self.large
            objects.append(one if held else one | {"actions": actions})
        return {"transfer": "basic", "objects": objects}

    def upload(self, body: bytes, oid: str) -> Any:
        if self.is_full:
            raise Refused(403, "Private repository storage limit reached")
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(400, "the content is not that of its digest")
        self.large[oid] = body
        return {}

    def verify(self, body: bytes, oid: str) -> Any:
        if json.loads(body) != {"oid": oid, "size": len(self.large.get(oid, b""))}:
            raise Refused(400, "the object is not the one that was uploaded")
        self.verified.add(oid)
        return {}

    def commit(self, body: bytes, name: str, branch: str) -> Any:
        if self.refused is not None:
            raise Refused(*self.refused)
        repository, _ = self._found(name, branch)
        header, *changes = [json.loads(line) for line in body.splitlines()]
        files = dict(repository.branches[branch])
        for change in changes:
            value = change["value"]
            match change["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    assert value["oid"] in self.verified
                    files[value["path"]] = self.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        repository.branches[branch] = files
        oid = hashlib.sha1(body).hexdigest()
        repository.commits.append(Commit(header["value"]["summary"], branch, oid))
        return {"commitUrl": f"{self.url}/{name}/commit/{oid}", "commitOid": oid}

    def file(self, _: bytes, name: str, revision: str, path: str) -> Any:
        repository, branch = self._found(name, revision)
        content = repository.branches[branch][path]
        headers = {"etag": f'"{_oid(content)}"', "x-repo-commit": repository.sha(branch)}
        return 200, headers, content

    def _found(self, name: str, revision: str) -> tuple[Repository, str]:
        if name not in self.repositories:
            raise Refused(404, "Repository not found", "RepoNotFound")
        repository = self.repositories[name]
        for branch in repository.branches:
            if revision in (branch, repository.sha(branch)):
                return repository, branch
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def _oid(content: bytes, *, large: bool = False) -> str:
    if large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
