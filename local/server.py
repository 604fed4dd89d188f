"""The process of the local AWS: MiniStack and SageMaker, until it is told to stop."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import psutil

from local import (
    api_gateway,
    caller_rights,
    cloudformation,
    firewall,
    http_api,
    ministack,
    stepfunctions,
    watchdog,
    web_pages,
)
from local.lifecycle import ACCOUNT, HOST, REGION, LocalAwsError, Server, environment, require_free
from local.sagemaker.service import SageMaker
from local.snapshots import Snapshots

logger = logging.getLogger("local")


def run(
    state_dir: Path, port: int, service: Callable[[LocalPlatform], SageMaker] = SageMaker
) -> None:
    """Run the local AWS in this process; ends the process when it is told to stop."""
    state_dir = state_dir.resolve()
    state_dir.mkdir(parents=True, exist_ok=True)
    lock = _lock(state_dir)
    require_free(port)
    watchdog.end_leftovers(state_dir)
    server = Server(
        pid=os.getpid(),
        port=port,
        endpoint_url=f"http://{HOST}:{port}",
        region=REGION,
        account=ACCOUNT,
    )
    _set_environment(server, state_dir)
    ministack.check()
    guard = watchdog.start(state_dir)
    asyncio.run(_Process(server, state_dir, service).serve())
    _end_children(guard.pid)
    (state_dir / "server.json").unlink(missing_ok=True)
    if guard.stdin is not None:
        guard.stdin.close()
    guard.wait(timeout=10)
    lock.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Worker threads may still wait on what is gone; an ordinary exit would wait for them.
    os._exit(0)


@dataclass
class LocalPlatform:
    """What SageMaker finds around it here."""

    account: str
    region: str
    endpoint_url: str
    state_dir: Path
    touch: Callable[[], None]

    def put_event(self, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        """Publish one of SageMaker's events."""
        self.touch()
        ministack.put_event(
            account=self.account,
            region=self.region,
            source="aws.sagemaker",
            detail_type=detail_type,
            detail=detail,
            resources=resources,
        )


class _Process:
    """MiniStack with SageMaker registered in it, from the first request to the last snapshot."""

    def __init__(
        self, server: Server, state_dir: Path, service: Callable[[LocalPlatform], SageMaker]
    ) -> None:
        self._server = server
        self._state_dir = state_dir
        self._snapshots = Snapshots(state_dir / "aws", ministack.states, ministack.encode_state)
        self._sagemaker = service(
            LocalPlatform(
                account=server.account,
                region=server.region,
                endpoint_url=server.endpoint_url,
                state_dir=state_dir,
                touch=self._snapshots.touch,
            )
        )

    async def serve(self) -> None:
        """Serve until a signal comes; then stop what runs and write what is held."""
        self._register()
        stopping, closing = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        serving = asyncio.create_task(
            ministack.serve(HOST, self._server.port, self._watch, closing.wait)
        )
        await _until_listening(self._server.port, serving)
        await asyncio.to_thread(self._sagemaker.recover)
        await asyncio.to_thread(ministack.settle_interrupted_stacks)
        keeping = asyncio.create_task(self._snapshots.keep())
        _announce(self._server, self._state_dir)
        await stopping.wait()
        await asyncio.to_thread(self._sagemaker.stop)
        await asyncio.to_thread(ministack.end_functions)
        keeping.cancel()
        closing.set()
        await serving
        self._snapshots.write()

    def _register(self) -> None:
        # Before the access log is written, which has what the firewall refuses too.
        firewall.close_gaps()
        ministack.close_gaps()
        api_gateway.close_gaps()
        caller_rights.close_gaps()
        ministack.register_service("sagemaker", "SageMaker", http_api.handler(self._sagemaker))
        for provider in cloudformation.providers(self._sagemaker.call):
            ministack.register_resource_type(provider)
        ministack.register_resource_type(firewall.Association())
        for integration in stepfunctions.integrations(self._sagemaker.call):
            ministack.register_integration("sagemaker", integration.action, integration.run)

    def _watch(self, application: ministack.Application) -> ministack.Application:
        async def watched(
            scope: ministack.Message, receive: ministack.Receive, send: ministack.Send
        ) -> None:
            reason = web_pages.fault(scope.get("headers", ()))
            if reason is not None:
                headers, body = web_pages.refusal(reason)
                await send({"type": "http.response.start", "status": 403, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
            if scope.get("method") not in (None, "GET", "HEAD"):
                self._snapshots.touch()
            await application(scope, receive, send)

        return watched


def _lock(state_dir: Path) -> TextIO:
    lock = (state_dir / "server.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LocalAwsError(
            f"--state-dir: another local AWS works in {state_dir}: stop it, or name another"
        ) from error
    return lock


def _set_environment(server: Server, state_dir: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    temporary = state_dir / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    os.environ |= environment(server)
    os.environ |= ministack.environment(
        state_dir=state_dir, port=server.port, account=server.account, region=server.region
    )
    os.environ["TMPDIR"] = str(temporary)
    os.environ[watchdog.MARKER] = str(state_dir)


async def _until_listening(port: int, serving: asyncio.Task[None]) -> None:
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    await serving


def _announce(server: Server, state_dir: Path) -> None:
    unfinished = state_dir / "server.json.tmp"
    unfinished.write_text(json.dumps(asdict(server)))
    unfinished.replace(state_dir / "server.json")
    logger.info("ready on %s", server.endpoint_url)


def _end_children(spared: int) -> None:
    children = [child for child in psutil.Process().children(recursive=True) if child.pid != spared]
    for child in children:
        child.terminate()
    _, alive = psutil.wait_procs(children, timeout=2)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=2)
