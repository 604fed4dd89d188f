"""What every part of the local SageMaker shares: records, processes, logs, S3, the platform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol

from local.processes.children import Children
from local.sagemaker.cloud import Cloud
from local.sagemaker.logs import LogShipper
from local.sagemaker.python_processes import PythonProcesses
from local.sagemaker.store import Store
from local.sagemaker.transfer import Bucket


class Platform(Protocol):
    """What the local AWS around SageMaker provides."""

    account: str
    region: str
    endpoint_url: str
    state_dir: Path

    def put_event(self, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None: ...


@dataclass
class Host:
    """One server's shared parts."""

    platform: Platform
    directory: Path
    store: Store
    children: Children
    python: PythonProcesses
    cloud: Cloud
    logs: LogShipper
    s3: Bucket
    closing: Event = field(default_factory=Event)

    @classmethod
    def on(cls, platform: Platform) -> Host:
        directory = platform.state_dir.resolve() / "sagemaker"
        directory.mkdir(parents=True, exist_ok=True)
        children = Children(directory / "processes")
        cloud = Cloud(platform.endpoint_url, platform.region, platform.account)
        return cls(
            platform=platform,
            directory=directory,
            store=Store(directory / "records"),
            children=children,
            python=PythonProcesses(children),
            cloud=cloud,
            logs=LogShipper(cloud),
            s3=Bucket(cloud),
        )

    def arn(self, resource: str) -> str:
        return f"arn:aws:sagemaker:{self.platform.region}:{self.platform.account}:{resource}"

    def background(self, name: str, work: Callable[..., None], *arguments: object) -> Thread:
        """Runs the work on its own thread."""
        thread = Thread(target=work, args=arguments, name=name, daemon=True)
        thread.start()
        return thread

    def emit(self, detail_type: str, detail: dict[str, Any], arn: str) -> None:
        """Puts one event, unless the platform itself is going down."""
        if not self.closing.is_set():
            self.platform.put_event(f"SageMaker {detail_type}", detail, [arn])
