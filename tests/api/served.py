"""One model of each task, small and of random weights, behind the API of one local AWS."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.inference import tiny, tiny_tasks
from tests.road.walk import Road

SOURCES = {
    "sorts": ("text-classification", tiny.classifier),
    "judges": ("zero-shot-classification", tiny.bart),
    "spans": ("token-classification", tiny_tasks.token_classifier),
    "reads": ("question-answering", tiny_tasks.reader),
    "looks-up": ("table-question-answering", tiny_tasks.tapas),
    "fills": ("fill-mask", tiny_tasks.masked),
    "embeds": ("feature-extraction", tiny_tasks.features),
    "shortens": ("summarization", tiny_tasks.bart),
    "translates": ("translation_en_to_de", tiny_tasks.marian),
    "rewrites": ("text2text-generation", tiny_tasks.t5),
    "writes": ("text-generation", tiny_tasks.gpt2),
}
KEYS = ["one", "two"]
# What the names of the endpoints begin with.
PREFIX = "lectern-local"
REAL_TIME = {"kind": "real-time", "instance_type": "ml.m5.large", "instances": 1}
SERVERLESS = {"kind": "serverless", "memory_mb": 2048, "max_concurrency": 1}
# The classifier once more, in other ways of serving.
OTHERS = {"wakes": SERVERLESS, "nightly": {"kind": "none"}}


def stage_file(folder: Path, *names: str, **api: Any) -> Path:
    """Write `local.yaml` with these of the models, and what they are made of; its folder."""
    models = {}
    for name in names:
        task, make = SOURCES[name]
        make(folder / "models" / name)
        models[name] = {
            "task": task,
            "source": {"path": str(folder / "models" / name)},
            "endpoint": REAL_TIME,
            "batch": {"instance_type": "ml.m5.xlarge"},
        }
    models |= {name: models["sorts"] | {"endpoint": kind} for name, kind in OTHERS.items()}
    document = {
        "name": "lectern",
        "region": "us-east-1",
        "retain_data": False,
        "models": models,
        "api": {
            "auth": "api-key",
            "keys": KEYS,
            "tenancy": True,
            "throttle": {"rate": 10_000, "burst": 5_000},
            **api,
        },
        "logs": {"retention_days": 1},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "local.yaml").write_text(yaml.safe_dump(document))
    return folder


@dataclass
class Served:
    """The API of a local AWS, and the two keys that it takes."""

    road: Road
    url: str
    keys: dict[str, str] = field(default_factory=dict)

    @classmethod
    def by(cls, road: Road, stages: Path) -> Served:
        road.lectern("deploy", "--local", "--context", f"stages={stages}")
        [stack] = road.client("cloudformation").describe_stacks(StackName="lectern-local-api")[
            "Stacks"
        ]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        gateway = road.client("apigateway")
        keys = {
            name: gateway.get_api_key(apiKey=identity, includeValue=True)["value"]
            for name, identity in json.loads(outputs["ApiKeyIds"]).items()
        }
        url = f"{road.endpoint_url}/restapis/{outputs['ApiId']}/local/_user_request_"
        return cls(road=road, url=url, keys=keys)

    @property
    def key(self) -> str:
        return self.keys["one"]
