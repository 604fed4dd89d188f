"""The whole road on this machine, as a user would walk it: `make demo`.

Every step is a command that can be typed by hand; the script shows it, runs it and stops at the
first one that fails. At the end the local AWS is stopped; what was deployed stays under `.local/`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import requests

CHECKOUT = Path(__file__).resolve().parents[1]
LECTERN = Path(sys.executable).parent / "lectern"
CLEAR_CASES = {
    "My invoice shows a wrong amount and my card was charged twice": "billing",
    "My parcel should have arrived on Monday and the tracking has not moved": "delivery",
    "I forgot my password and the reset email never comes": "account",
    "The app crashes as soon as I open the settings page": "technical",
    "The shoes are too small, how do I send them back": "returns",
}


def main() -> int:
    started = time.monotonic()
    step("the local AWS starts (everything on 127.0.0.1)")
    lectern("local", "start")
    try:
        walk()
    finally:
        step("the local AWS stops")
        lectern("local", "stop")
    print(f"\nDone in {time.monotonic() - started:.0f} s. State: .local/, log: .local/server.log")
    print("To keep it running:  make local      To stop it then:  make stop")
    return 0


def walk() -> None:
    step("the real CDK CLI deploys the stacks of stages/local.yaml")
    lectern("deploy", "--local")
    step("a pipeline fine-tunes MiniLM on examples/tickets/named.csv and evaluates it")
    lectern("train", "tickets", "--data", "examples/tickets/named.csv", *columns(), "--local")
    step("what the version's model card says")
    lectern("report", "tickets", "--local")
    step("a person approves the version; CloudFormation brings it to the endpoints")
    lectern("approve", "tickets", "--local")
    step("an HTTP client asks the API")
    ask_over_http()
    step("a batch of lines, one of them malformed")
    batch = ("examples/tickets/batch.jsonl", "--output", ".local/demo-batch-answers.jsonl")
    lectern("batch", "tickets", *batch, "--local")
    step("where everything is")
    lectern("status", "--local")


def columns() -> list[str]:
    return ["--text-column", "message", "--label-column", "category"]


def ask_over_http() -> None:
    """Send each clear case; a wrong answer ends the demo."""
    api = json.loads(lectern_output("status", "--local", "--json", "--show-key"))["api"]
    url = f"{api['url'].rstrip('/')}/v1/models/tickets"
    for text, expected in CLEAR_CASES.items():
        answer = post(url, api["key"], {"inputs": text})
        label, score = answer[0]["label"], answer[0]["score"]
        print(f"  {label:<10} {score:.3f}  {text}")
        if label != expected:
            raise SystemExit(f"the answer to {text!r} is {label!r}, expected {expected!r}")


def post(url: str, key: str, body: dict[str, object]) -> list[dict[str, str | float]]:
    payload = json.dumps(body)
    headers = {"x-api-key": key, "content-type": "application/json"}
    if shutil.which("curl"):
        flags = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
        command = ["curl", "--silent", "--show-error", "--fail", *flags, "-d", payload, url]
        return json.loads(output_of(command))
    response = requests.post(url, payload, headers=headers, timeout=60)
    response.raise_for_status()
    return response.json()


def step(title: str) -> None:
    print(f"\n==> {title}", flush=True)


def lectern(*words: str) -> None:
    print(f"$ lectern {' '.join(words)}", flush=True)
    finished = subprocess.run([str(LECTERN), *words], cwd=CHECKOUT, check=False)
    if finished.returncode:
        raise SystemExit(f"`lectern {' '.join(words)}` ended with exit code {finished.returncode}")


def lectern_output(*words: str) -> str:
    return output_of([str(LECTERN), *words])


def output_of(command: list[str]) -> str:
    """What the command prints; what it complains of ends the demo."""
    finished = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if finished.returncode:
        name = Path(command[0]).name
        complaint = finished.stderr.strip()
        raise SystemExit(f"`{name}` ended with exit code {finished.returncode}: {complaint}")
    return finished.stdout


if __name__ == "__main__":
    sys.exit(main())
