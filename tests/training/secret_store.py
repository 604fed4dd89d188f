"""A Secrets Manager on 127.0.0.1 that holds what it is given: enough for GetSecretValue."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def secrets_manager(held: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield the variables with which boto3 finds it."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = held.get(asked["SecretId"])
            known = {"Name": asked["SecretId"], "SecretString": found}
            missing = {"__type": "ResourceNotFoundException", "message": "it is not here"}
            content = json.dumps(missing if found is None else known).encode()
            self.send_response(400 if found is None else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format, *args) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        server.shutdown()
