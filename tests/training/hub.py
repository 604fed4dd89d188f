"""A Hub on 127.0.0.1 with one repository at one commit: enough for snapshot_download."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(
    repository: str, files: dict[str, bytes], token: str | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yield the endpoint and the list, growing, of paths that were asked for.

    With a token, the repository is private.
    """
    asked: list[str] = []
    listing = {
        "id": repository,
        "modelId": repository,
        "sha": COMMIT,
        "private": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": [{"rfilename": name} for name in files],
    }
    tree = [
        {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": hashlib.sha1(content).hexdigest(),
        }
        for name, content in files.items()
    ]

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            if token is not None and self.headers["Authorization"] != f"Bearer {token}":
                self.send(b"{}", "application/json", 401, {"X-Error-Code": "GatedRepo"})
                return
            path = self.path.split("?")[0]
            prefix = f"/{repository}/resolve/{COMMIT}/"
            if path in (f"/api/models/{repository}/revision/{COMMIT}", f"/api/models/{repository}"):
                self.send(json.dumps(listing).encode(), "application/json")
            elif path == f"/api/models/{repository}/tree/{COMMIT}":
                self.send(json.dumps(tree).encode(), "application/json")
            elif path.startswith(prefix) and path.removeprefix(prefix) in files:
                self.send(files[path.removeprefix(prefix)], "application/octet-stream")
            else:
                self.send(b"{}", "application/json", 404, {"X-Error-Code": "RevisionNotFound"})

        do_HEAD = do_GET

        def send(self, content, kind, status=200, headers=None) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(content)),
                "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
                "X-Repo-Commit": COMMIT,
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, format, *args) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
