"""What an endpoint serves at one moment: a fleet for each production variant."""

from __future__ import annotations

import random
import shutil
import uuid
from pathlib import Path
from typing import Any

from local.sagemaker.errors import ValidationError
from local.sagemaker.fleet import Fleet, FleetPlan
from local.sagemaker.host import Host
from local.sagemaker.models import MODEL, find_plain, serving_container
from local.sagemaker.store import Record

SERVERLESS_IDLE_SECONDS = 600.0
_DRAIN_SECONDS = 65.0
# What was taken from a queue may be worked on for this long.
_QUEUE_DRAIN_SECONDS = 3600.0


def snapshot(host: Host, config: Record) -> Record:
    """All that serving needs of a config, so that deleting it or its models harms nothing."""
    variants = []
    for variant in config["ProductionVariants"]:
        model = find_plain(host, MODEL, variant["ModelName"])
        variants.append(
            {
                "variant": variant,
                "container": serving_container(host, model),
                "isolated": model.get("EnableNetworkIsolation", False),
            }
        )
    return {
        "id": uuid.uuid4().hex[:12],
        "config": config["EndpointConfigName"],
        "queue": config.get("AsyncInferenceConfig"),
        "variants": variants,
    }


class Deployment:
    """The fleets of one snapshot."""

    def __init__(self, host: Host, endpoint: str, taken: Record) -> None:
        self._host = host
        self._taken = taken
        self.directory: Path = host.directory / "endpoints" / endpoint / taken["id"]
        self.fleets = {
            item["variant"]["VariantName"]: self._fleet(endpoint, item)
            for item in taken["variants"]
        }

    @property
    def config_name(self) -> str:
        name: str = self._taken["config"]
        return name

    @property
    def serverless(self) -> bool:
        return "ServerlessConfig" in self._taken["variants"][0]["variant"]

    @property
    def queue(self) -> dict[str, Any] | None:
        """The AsyncInferenceConfig of an asynchronous endpoint."""
        return self._taken.get("queue")

    def start(self) -> None:
        """Raises FleetFailed when a variant cannot be served."""
        for fleet in self.fleets.values():
            fleet.stage()
        for fleet in self.fleets.values():
            fleet.start()

    def choose(self, target: str | None) -> tuple[str, Fleet]:
        """The variant for one request: the one named, or one drawn by weight."""
        if target is not None:
            if target not in self.fleets:
                raise ValidationError(f"Variant {target} not found for this endpoint.")
            return target, self.fleets[target]
        names = list(self.fleets)
        weights = [
            item["variant"].get("InitialVariantWeight", 1.0) for item in self._taken["variants"]
        ]
        name = random.choices(names, weights if sum(weights) else None)[0]  # noqa: S311
        return name, self.fleets[name]

    def summaries(self) -> list[dict[str, Any]]:
        """ProductionVariants as DescribeEndpoint shows them."""
        found = []
        for item in self._taken["variants"]:
            variant, image = item["variant"], item["container"]["Image"]
            weight = variant.get("InitialVariantWeight", 1.0)
            summary = {
                "VariantName": variant["VariantName"],
                "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}],
                "CurrentWeight": weight,
                "DesiredWeight": weight,
            }
            serverless = variant.get("ServerlessConfig")
            if serverless is None:
                count = variant["InitialInstanceCount"]
                summary |= {"CurrentInstanceCount": count, "DesiredInstanceCount": count}
            else:
                summary |= {
                    "CurrentInstanceCount": 0,
                    "DesiredInstanceCount": 0,
                    "CurrentServerlessConfig": serverless,
                    "DesiredServerlessConfig": serverless,
                }
            found.append(summary)
        return found

    def watch(self) -> None:
        for fleet in self.fleets.values():
            fleet.watch()

    def retire(self) -> None:
        """Lets the requests under way end, then stops and forgets everything."""
        seconds = _DRAIN_SECONDS if self.queue is None else _QUEUE_DRAIN_SECONDS
        for fleet in self.fleets.values():
            fleet.drain(seconds)
            fleet.remove()
            self._host.logs.close(fleet.log)
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> None:
        for fleet in self.fleets.values():
            fleet.stop()

    def _fleet(self, endpoint: str, item: Record) -> Fleet:
        variant = item["variant"]
        name = variant["VariantName"]
        plan = FleetPlan(
            container=item["container"],
            isolated=item["isolated"],
            idle_seconds=SERVERLESS_IDLE_SECONDS if "ServerlessConfig" in variant else None,
            most_at_once=variant.get("ServerlessConfig", {}).get("MaxConcurrency"),
            startup_seconds=variant.get("ContainerStartupHealthCheckTimeoutInSeconds", 240),
            label=f"production variant {name}",
        )
        log = self._host.logs.open(
            f"/aws/sagemaker/Endpoints/{endpoint}",
            f"{name}/i-{uuid.uuid4().hex[:17]}",
            self.directory.with_name(f"{self._taken['id']}-{name}.log"),
        )
        return Fleet(self._host, plan, self.directory / name, log)
