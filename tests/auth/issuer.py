"""An OpenID Connect issuer on this machine: its discovery document, its keys, and its tokens."""

from __future__ import annotations

import json
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "lectern"


class Issuer:
    """Serves what it is asked for on 127.0.0.1 until it is closed."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.asked: list[str] = []
        self.status = 200
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = json.dumps(issuer.documents.get(self.path)).encode()
                self.send_response(issuer.status if self.path in issuer.documents else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing: what was asked is in `asked`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.add("rsa")
        self.add("ec", ec.generate_private_key(ec.SECP256R1()))

    @property
    def documents(self) -> dict[str, Any]:
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
            },
            "/keys": {"keys": [_public(kid, key) for kid, key in self.keys.items()]},
        }

    def add(self, kid: str, key: Any = None) -> None:
        """Publish one more key, an RSA one unless it is given."""
        self.keys[kid] = key or _rsa_key(kid)

    def token(self, kid: str = "rsa", *, algorithm: str | None = None, **claims: Any) -> str:
        """A token that holds, but for the claims that are given; one of None is left out."""
        key = self.keys[kid]
        algorithm = algorithm or ("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
        return jwt.encode(self.claims(**claims), key, algorithm=algorithm, headers={"kid": kid})

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        held = {"iss": self.url, "aud": AUDIENCE, "sub": "someone", "iat": now, "exp": now + 300}
        return {name: value for name, value in (held | changed).items() if value is not None}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@cache
def _rsa_key(kid: str) -> rsa.RSAPrivateKey:
    # It takes a while to make one.
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _public(kid: str, key: Any) -> dict[str, Any]:
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
