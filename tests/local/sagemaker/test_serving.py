from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request

from local import lifecycle


def test_the_port_is_held_while_the_model_still_loads(lab, light, tmp_path):
    # Reading it blocks until somebody writes: a model that takes its time.
    os.mkfifo(tmp_path / "says")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["-m", "local.serving", "--model-dir", str(tmp_path), "--port", str(port)]
    paths = os.pathsep.join([str(lifecycle.CHECKOUT), light["PYTHONPATH"]])
    process = subprocess.Popen(
        [sys.executable, "-P", *words], env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        lab.eventually(lambda: not _is_free(port))
        assert process.poll() is None
        (tmp_path / "says").write_text("loaded")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=120) as answer:
            assert answer.status == 200
    finally:
        process.kill()
        process.wait(10)


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
