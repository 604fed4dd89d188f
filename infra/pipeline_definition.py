"""The definition of a fine-tuning pipeline as plain data, in SageMaker's own words."""

from __future__ import annotations

from infra.encoder_settings import HubBase, PackageBase
from infra.pipeline_gate import approved_step, evaluate_step, gate_step
from infra.pipeline_jobs import (
    INPUTS,
    RESULTS,
    Json,
    Surroundings,
    get,
    joined,
    output_of,
    processing_step,
    text_of,
)
from infra.pipeline_settings import PipelineSettings
from infra.pipeline_training import PARAMETERS, trained_model_data, training_step


def pipeline_definition(settings: PipelineSettings, around: Surroundings) -> Json:
    """The document that CreatePipeline takes as PipelineDefinition."""
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": _parameters(settings, around),
        "Steps": [
            _stage(settings, around),
            _prepare(settings, around),
            training_step(settings, around),
            *_package(settings, around),
            approved_step(settings, around),
            evaluate_step(settings, around),
            gate_step(settings, around),
        ],
    }


def _parameters(settings: PipelineSettings, around: Surroundings) -> list[Json]:
    tried, columns, split = settings.hyperparameters, settings.columns, settings.split
    tuned = settings.tune.ranges if settings.tune else {}
    at_least = "none" if columns.label_at_least is None else str(columns.label_at_least)
    return [
        # No default: a cached step would answer for yesterday's rows under the same prefix.
        {"Name": "InputDataUri", "Type": "String"},
        _parameter("TextColumn", columns.text),
        _parameter("TextPairColumn", columns.text_pair),
        _parameter("LabelColumn", columns.label),
        _parameter("LabelDelimiter", columns.label_delimiter),
        _parameter("LabelAtLeast", at_least),
        _parameter("MaxRejected", columns.max_rejected),
        _parameter("ValidationFraction", split.validation),
        _parameter("TestFraction", split.test),
        _parameter("StartFromUri", around.nothing),
        *(
            _parameter(parameter, getattr(tried, name))
            for name, parameter in PARAMETERS.items()
            if name not in tuned
        ),
        _parameter("Seed", split.seed),
        _parameter("GateAtLeast", settings.gate.at_least),
    ]


def _parameter(name: str, default: str | float) -> Json:
    if isinstance(default, bool):
        return _parameter(name, str(default))
    kinds = {str: "String", int: "Integer", float: "Float"}
    return {"Name": name, "Type": kinds[type(default)], "DefaultValue": default}


def _stage(settings: PipelineSettings, around: Surroundings) -> Json:
    inputs: Json = {}
    environment: dict[str, str] = {}
    match settings.base:
        case HubBase() as base:
            arguments = ["--hub", base.hub, "--revision", base.revision]
            if base.token_secret is not None:
                arguments += ["--token-secret", base.token_secret]
                environment["AWS_DEFAULT_REGION"] = around.region
        case PackageBase() as base:
            arguments = ["--package", base.package]
        case _:
            if around.encoder is None:
                raise ValueError(f"{around.pipeline}: the encoder of base.path is not shipped")
            inputs["path"] = around.encoder.uri
            arguments = ["--path", f"{INPUTS}/path"]
    inputs["earlier"] = get("Parameters.StartFromUri")
    return processing_step(
        settings,
        around,
        name="Stage",
        arguments=[
            *arguments,
            *("--earlier", f"{INPUTS}/earlier"),
            *("--output", f"{RESULTS}/base"),
        ],
        inputs=inputs,
        outputs=("base",),
        environment=environment,
        # The one step that fetches from the Hub.
        isolated=not isinstance(settings.base, HubBase),
    )


def _prepare(settings: PipelineSettings, around: Surroundings) -> Json:
    outputs = ("train", "validation", "test", "report")
    arguments = [
        *("--input", f"{INPUTS}/raw"),
        *("--base", f"{INPUTS}/base"),
        *("--max-length", text_of("MaxLength")),
        *(part for name in outputs for part in (f"--{name}", f"{RESULTS}/{name}")),
        *("--problem", settings.problem),
        _option("--text-column", "TextColumn"),
        _option("--text-pair-column", "TextPairColumn"),
        _option("--label-column", "LabelColumn"),
        _option("--label-delimiter", "LabelDelimiter"),
        _option("--label-at-least", "LabelAtLeast"),
        *("--validation-fraction", text_of("ValidationFraction")),
        *("--test-fraction", text_of("TestFraction")),
        *("--max-rejected", text_of("MaxRejected")),
        *("--seed", text_of("Seed")),
        *(f"--two-classes-for={metric}" for metric in settings.gate.binary_metrics),
    ]
    return processing_step(
        settings,
        around,
        name="Prepare",
        arguments=arguments,
        inputs={"raw": get("Parameters.InputDataUri"), "base": output_of("Stage", "base")},
        outputs=outputs,
        # Where too many rows are bad, it says which.
        kept_on_failure=("report",),
    )


def _package(settings: PipelineSettings, around: Surroundings) -> list[Json]:
    """The step that adds the files of ONNX engines to the model, where one of them serves it."""
    if around.packaging is None:
        return []
    step = processing_step(
        settings,
        around,
        name="Package",
        arguments=[
            *("--model", f"{INPUTS}/model"),
            *("--rows", f"{INPUTS}/rows"),
            *("--output", f"{RESULTS}/package"),
            *("--int8", str(around.packaging.int8)),
        ],
        # What is chosen by these rows is measured on others, by Evaluate.
        inputs={
            "model": trained_model_data(settings, around),
            "rows": output_of("Prepare", "validation"),
        },
        outputs=("package",),
        source=around.packaging.source,
    )
    return [step]


def _option(name: str, parameter: str) -> Json:
    """As one word: a value may begin with a dash."""
    return joined("=", name, get(f"Parameters.{parameter}"))
