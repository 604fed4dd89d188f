"""The faults that no setting has by itself: two settings that do not go together."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from infra import images, instance_types, tasks
from infra.api_consistency import api_faults
from infra.archives import files_below, tar_gz_names
from infra.constraints import MAX_TRANSFORM_MB_IN_FLIGHT
from infra.endpoint_settings import Endpoint, NoEndpoint, OnMachines
from infra.faults import Fault, choices
from infra.pipeline_consistency import pipeline_faults
from infra.section import Place, valid
from infra.settings import (
    LOCAL_STAGE,
    BatchSettings,
    ModelSource,
    PathSource,
    PipelineSource,
    Source,
    pascal_case,
    runs_on_gpu,
)

ONNX_FILES = {"onnx": "onnx/model.onnx", "onnx-int8": "onnx/model-int8.onnx"}

_SOURCE: TypeAdapter[ModelSource] = TypeAdapter(Source)
_ENDPOINT: TypeAdapter[Endpoint] = TypeAdapter(Endpoint)
_BATCH = TypeAdapter(BatchSettings)


def faults(data: Mapping[str, Any], *, stage: str, project: Path) -> list[Fault]:
    """Every such fault; a section that is malformed by itself is passed over."""
    models, pipelines = _sections(data.get("models")), _sections(data.get("pipelines"))
    return [
        *_clashes("models", models, _taken_from_models(models, pipelines)),
        *_clashes("pipelines", pipelines, _TAKEN_FROM_PIPELINES),
        *_training_region_faults(data.get("region"), pipelines),
        *api_faults(data.get("api")),
        *(f for name, raw in models.items() for f in _model_faults(name, raw, pipelines, project)),
        *(
            fault
            for name, raw in pipelines.items()
            for fault in pipeline_faults(name, raw, local=stage == LOCAL_STAGE, project=project)
        ),
    ]


def _sections(parts: object) -> dict[str, dict[str, Any]]:
    items = parts.items() if isinstance(parts, dict) else ()
    return {name: part for name, part in items if isinstance(part, dict)}


# What the stacks, and the CDK in each of them, call other things than models and pipelines.
_TAKEN_IN_EVERY_STACK = {"BootstrapVersion", "CheckBootstrapVersion"}
_TAKEN_FROM_PIPELINES = {
    *_TAKEN_IN_EVERY_STACK,
    *("Approved", "Pipelines", "PackagingSource", "ProcessingSource", "TrainingSource"),
    # Their parameters of versions would be called as the CDK's own.
    *("Bootstrap", "CheckBootstrap"),
}


def _taken_from_models(models: Iterable[str], pipelines: Iterable[str]) -> set[str]:
    released = ("Version", "ModelData", "Approved")
    return {
        *_TAKEN_IN_EVERY_STACK,
        *("Models", "SmokeTest"),
        *(f"{pascal_case(name)}{part}" for name in pipelines for part in released),
        *(f"{pascal_case(name)}{part}" for name in models for part in ("Artifact", "Bucket")),
    }


def _clashes(section: str, parts: Mapping[str, Any], taken: set[str]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name in parts:
        if pascal_case(name) in taken:
            yield Fault(
                (section, name),
                f"got {name!r}, and the templates call something else {pascal_case(name)}: "
                "rename it",
            )
        other = seen.setdefault(pascal_case(name), name)
        if other != name:
            yield Fault(
                (section, name),
                f"got {name!r} beside {other!r}, and both become {pascal_case(name)} in the "
                "templates: rename one",
            )


def _training_region_faults(region: object, pipelines: Mapping[str, Any]) -> Iterator[Fault]:
    if isinstance(region, str) and region in images.INFERENCE_ONLY_ACCOUNTS and pipelines:
        yield Fault(
            ("region",),
            f"got {region!r}, which holds no training image: train in another region and serve "
            "here by source.artifact, without pipelines",
        )


def _model_faults(
    name: str, raw: Mapping[str, Any], pipelines: Mapping[str, Any], project: Path
) -> Iterator[Fault]:
    place = ("models", name)
    source = valid(_SOURCE, raw.get("source"))
    endpoint = valid(_ENDPOINT, raw.get("endpoint"))
    batch = valid(_BATCH, raw.get("batch"))
    task = raw.get("task")
    engine = "torch" if endpoint is None or isinstance(endpoint, NoEndpoint) else endpoint.engine
    if isinstance(source, PipelineSource) and source.pipeline not in pipelines:
        allowed = f"allowed are {choices(list(pipelines))}" if pipelines else "there are none"
        yield Fault((*place, "source", "pipeline"), f"got {source.pipeline!r}, {allowed}")
    if isinstance(source, PipelineSource) and task != tasks.TRAINED and _is_task(task):
        yield Fault(
            (*place, "task"),
            f"got {task!r}, allowed with source.pipeline is {tasks.TRAINED}, since pipelines train "
            "nothing else: for other tasks use source.path or source.artifact",
        )
    if isinstance(source, PathSource):
        yield from _path_faults((*place, "source", "path"), source.path, engine, project)
    if engine != "torch" and endpoint is not None:
        yield from _engine_faults((*place, "endpoint", "engine"), engine, endpoint, task)
    if batch is not None:
        yield from _in_flight_faults((*place, "batch", "max_concurrent_requests"), batch)
    if batch is not None and endpoint is not None:
        yield from _image_faults((*place, "batch", "instance_type"), endpoint, batch)


def _is_task(task: object) -> bool:
    return isinstance(task, str) and tasks.is_known(task)


def _engine_faults(at: Place, engine: str, endpoint: Endpoint, task: object) -> Iterator[Fault]:
    if isinstance(endpoint, OnMachines) and instance_types.has_gpu(endpoint.instance_type):
        yield Fault(
            at,
            f"got {engine!r}, allowed on {endpoint.instance_type} is torch: the ONNX engines are "
            "for CPUs, so drop the setting, or take a type without a GPU",
        )
    elif _is_task(task) and task not in tasks.ANY_ENGINE:
        yield Fault(
            at,
            f"got {engine!r}, allowed with {task} is torch: the ONNX engines answer "
            f"{choices(tasks.ANY_ENGINE)}",
        )


def _path_faults(at: Place, given: str, engine: str, project: Path) -> Iterator[Fault]:
    path = project / given
    if path.is_dir():
        kind, files = "directory", set(files_below(path))
    elif not path.is_file():
        yield Fault(at, f"got {given!r}, but nothing is there, seen from the project's directory")
        return
    elif not given.endswith(".tar.gz"):
        yield Fault(at, f"got {given!r}, allowed is a directory or a model.tar.gz")
        return
    else:
        try:
            kind, files = "model.tar.gz", tar_gz_names(path)
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            yield Fault(at, f"got {given!r}, which is no gzip tar: {error}")
            return
    # Weights of other forms can carry code, and the containers take none of them.
    needed = {"config.json": "config.json", ".safetensors": "safetensors weights"}
    for ending, what in needed.items():
        if not any(name.endswith(ending) and "/" not in name for name in files):
            reason = "name what save_pretrained wrote"
            yield Fault(at, f"got {given!r}, a {kind} without {what} at its root: {reason}")
            return
    if engine != "torch" and ONNX_FILES[engine] not in files:
        yield Fault(at, f"got {given!r}, {_not_packaged(kind, engine, given)}")


def _not_packaged(kind: str, engine: str, given: str) -> str:
    first, folder = ("", given) if kind == "directory" else ("unpack it into DIR, ", "DIR")
    option, otherwise = "", ""
    if engine == "onnx-int8":
        option, otherwise = " --int8", "; where int8 is not accepted, use engine: onnx"
    return (
        f"a {kind} without {ONNX_FILES[engine]}, which engine {engine} needs: {first}"
        f"run `lectern package {folder} --rows FILE{option}`{otherwise}"
    )


def _in_flight_faults(at: Place, batch: BatchSettings) -> Iterator[Fault]:
    if batch.max_payload_mb * batch.max_concurrent_requests > MAX_TRANSFORM_MB_IN_FLIGHT:
        yield Fault(
            at,
            f"got {batch.max_concurrent_requests}, allowed with max_payload_mb "
            f"{batch.max_payload_mb} is {MAX_TRANSFORM_MB_IN_FLIGHT // batch.max_payload_mb} or "
            f"less: a transform job holds {MAX_TRANSFORM_MB_IN_FLIGHT} MB of requests",
        )


def _image_faults(at: Place, endpoint: Endpoint, batch: BatchSettings) -> Iterator[Fault]:
    gpu = runs_on_gpu(endpoint, batch)
    if instance_types.has_gpu(batch.instance_type) != gpu:
        yield Fault(
            at,
            f"got {batch.instance_type!r}, allowed is a type {'with' if gpu else 'without'} a GPU, "
            "as the endpoint has it: a model has one image for both; for the other machine define "
            "a second model with endpoint.kind none",
        )
