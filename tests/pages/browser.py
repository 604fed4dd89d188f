"""A headless Chromium, driven over the DevTools protocol through a pair of pipes: nothing to install
beside the browser itself. What a page asks for, logs, or breaks is kept for the test to look at.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
    # Whatever is not on this machine does not exist.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# The browser reads commands from descriptor 3 and writes to 4, which may be taken in this process.
LAUNCH = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
WAIT_SECONDS = 60


def found() -> str | None:
    """The browser of this machine, or none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One browser process; every page has a context of its own, without what others stored."""

    def __init__(self, process: subprocess.Popen[bytes], reader: int, writer: int) -> None:
        self.process = process
        self._reader = os.fdopen(reader, "rb", buffering=0)
        self._writer = os.fdopen(writer, "wb", buffering=0)
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._last = 0
        self._ended = False
        self.events: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What a command answers; raises when the browser refuses it."""
        with self._changed:
            self._last += 1
            number = self._last
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._writer.write(json.dumps(message).encode() + b"\0")
        with self._changed:
            there = self._changed.wait_for(
                lambda: self._ended or number in self._answers, WAIT_SECONDS
            )
            if not there or number not in self._answers:
                raise AssertionError(f"the browser did not answer {method}")
            answer = self._answers.pop(number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> None:
        rest = b""
        while content := self._reader.read(1 << 16):
            *messages, rest = (rest + content).split(b"\0")
            with self._changed:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._answers[message["id"]] = message
                    else:
                        self.events.append(message)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def page(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"], context)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        page.send("Emulation.setEmulatedMedia", features=[scheme, motion])
        return page


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self.browser, self.session, self.context = browser, session, context

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **parameters)

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && location.href.startsWith({url!r})")

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited; an exception in the page is one here."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = WAIT_SECONDS) -> Any:
        """The first value of the expression that is true; fails with what the page shows."""
        deadline = time.monotonic() + seconds
        asked = (
            f"(() => {{ try {{ const it = {expression}; return it instanceof Node ? true : it }}"
            " catch { return null } })()"
        )
        while not (value := self.js(asked)):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{expression} did not come true; the page shows:\n{self.js('document.body.innerText')}"
                )
            time.sleep(0.03)
        return value

    def text(self, selector: str) -> str:
        """What a person reads there, once there is something."""
        return str(self.until(f"document.querySelector({json.dumps(selector)}).innerText.trim()"))

    def fill(self, selector: str, value: str) -> None:
        """Put a value into a field, as typing does."""
        name, text = json.dumps(selector), json.dumps(value)
        self.js(
            f"(() => {{ const field = document.querySelector({name}); field.focus(); field.value = {text};"
            " for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true})); })()"
        )

    def click(self, selector: str) -> None:
        """Press with a real mouse, which misses what is covered or out of sight."""
        box = self.js(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
            " it.scrollIntoView({block: 'center', behavior: 'instant'}); const box = it.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    def key(self, key: str, *, ctrl: bool = False, text: str = "") -> None:
        code = {"Enter": 13, "Tab": 9, "Backspace": 8, "ArrowRight": 39, "ArrowLeft": 37}.get(
            key, 0
        )
        text = text or ("\r" if key == "Enter" else "")
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                modifiers=2 if ctrl else 0, **({"text": text} if kind == "keyDown" and text and not ctrl else {}),
            )  # fmt: skip

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def upload(self, selector: str, file: Path) -> None:
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def screenshot(self, file: Path, *, whole: bool = True) -> None:
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {
            "x": 0,
            "y": 0,
            "width": size["width"],
            "height": min(size["height"], 6000),
            "scale": 1,
        }
        taken = self.send(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=whole,
            **({"clip": clip} if whole else {}),
        )
        file.write_bytes(base64.b64decode(taken["data"]))

    def _events(self, *methods: str) -> Iterator[dict[str, Any]]:
        for event in list(self.browser.events):
            if event.get("sessionId") == self.session and event["method"] in methods:
                yield event["params"]

    def requested(self) -> list[str]:
        """Every URL that the page asked the network for."""
        return [
            event["request"]["url"]
            for event in self._events("Network.requestWillBeSent")
            if not event["request"]["url"].startswith(("data:", "blob:"))
        ]

    def complaints(self) -> list[str]:
        """Exceptions, errors and warnings of the console, broken policies; not an answer's status."""
        thrown = [
            event["exceptionDetails"]
            .get("exception", {})
            .get("description", event["exceptionDetails"]["text"])
            for event in self._events("Runtime.exceptionThrown")
        ]
        logged = [
            event["entry"]["text"]
            for event in self._events("Log.entryAdded")
            if event["entry"]["level"] in ("error", "warning")
            and event["entry"]["source"] != "network"
        ]
        told = [
            str(event["args"])
            for event in self._events("Runtime.consoleAPICalled")
            if event["type"] in ("error", "warning", "assert")
        ]
        return thrown + logged + told

    def close(self) -> None:
        self.browser.send("Target.disposeBrowserContext", browserContextId=self.context)


@contextmanager
def browser(path: str, profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile; it is gone afterwards, and so are its children."""
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    launch = [sys.executable, "-c", LAUNCH, str(commands_out), str(answers_in), path]
    process = subprocess.Popen(
        [*launch, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(commands_out, answers_in),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile), "XDG_CONFIG_HOME": str(profile)},
    )
    os.close(commands_out)
    os.close(answers_in)
    driven = Browser(process, answers_out, commands_in)
    try:
        yield driven
    finally:
        try:
            driven.send("Browser.close")
            process.wait(10)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
