"""How a pipeline trains: one job, or a tuning job that tries hyperparameters; and the result."""

from __future__ import annotations

from infra import instance_types
from infra.encoder_settings import Base, HubBase, PackageBase
from infra.hyperparameter_settings import WHOLE_NUMBERS
from infra.pipeline_jobs import (
    CACHE,
    RETRIES,
    Json,
    Surroundings,
    channel,
    get,
    joined,
    output_of,
    text_of,
)
from infra.pipeline_settings import PipelineSettings
from infra.tuning_settings import TuneSettings

METRICS = (
    "loss",
    "eval_loss",
    "eval_accuracy",
    "eval_f1",
    "eval_f1_micro",
    "learning_rate",
    "epoch",
)
CHECKPOINTS = "/opt/ml/checkpoints"
# Of the hyperparameters that a run may change.
PARAMETERS = {
    "epochs": "Epochs",
    "batch_size": "BatchSize",
    "max_length": "MaxLength",
    "early_stopping_patience": "EarlyStoppingPatience",
    "gradient_accumulation_steps": "GradientAccumulationSteps",
    "learning_rate": "LearningRate",
    "weight_decay": "WeightDecay",
    "warmup_ratio": "WarmupRatio",
    "label_smoothing": "LabelSmoothing",
    "train_only_top_layer": "TrainOnlyTopLayer",
    "learning_rate_schedule": "LearningRateSchedule",
    "class_weights": "ClassWeights",
    "precision": "Precision",
}


def training_step(settings: PipelineSettings, around: Surroundings) -> Json:
    """The step `Train`, or `Tune` where hyperparameters are searched for."""
    if settings.tune is None:
        return _train(settings, around)
    return _tune(settings, settings.tune, around)


def trained_model_data(settings: PipelineSettings, around: Surroundings) -> Json:
    """The artifact of the training job, or of a search's best."""
    if settings.tune is None:
        return get("Steps.Train.ModelArtifacts.S3ModelArtifacts")
    best = get("Steps.Tune.BestTrainingJob.TrainingJobName")
    return joined("/", around.models_uri, best, "output/model.tar.gz")


def model_data(settings: PipelineSettings, around: Surroundings) -> Json:
    """The artifact that is measured and registered."""
    if around.packaging is None:
        return trained_model_data(settings, around)
    return joined("/", output_of("Package", "package"), "model.tar.gz")


def last_training_step(settings: PipelineSettings, around: Surroundings) -> str:
    """The step that makes the artifact that is measured."""
    if around.packaging is not None:
        return "Package"
    return "Train" if settings.tune is None else "Tune"


def _train(settings: PipelineSettings, around: Surroundings) -> Json:
    return {
        "Name": "Train",
        "Type": "Training",
        "CacheConfig": CACHE,
        "RetryPolicies": RETRIES,
        "Arguments": {
            **_job(settings, around),
            "HyperParameters": _hyperparameters(settings, around),
        },
    }


def _tune(settings: PipelineSettings, tune: TuneSettings, around: Surroundings) -> Json:
    objective = tune.objective or (
        "eval_accuracy" if settings.problem == "single-label" else "eval_f1_micro"
    )
    search: Json = {
        "Strategy": tune.strategy.capitalize(),
        "HyperParameterTuningJobObjective": {
            "Type": "Minimize" if objective == "eval_loss" else "Maximize",
            "MetricName": objective,
        },
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": tune.max_jobs,
            "MaxParallelTrainingJobs": tune.max_parallel_jobs,
        },
        "ParameterRanges": _ranges(tune),
        "TrainingJobEarlyStoppingType": "Auto" if tune.early_stopping else "Off",
        "RandomSeed": get("Parameters.Seed"),
    }
    if tune.resource is not None:
        fewest, most = tune.resource
        resource = {"MinResource": fewest, "MaxResource": most}
        search["StrategyConfig"] = {"HyperbandStrategyConfig": resource}
    return {
        "Name": "Tune",
        "Type": "Tuning",
        "CacheConfig": CACHE,
        # A search that lacked a machine would begin anew; its jobs are tried again by themselves.
        "RetryPolicies": RETRIES[:1],
        "Arguments": {
            "HyperParameterTuningJobConfig": search,
            "TrainingJobDefinition": {
                **_job(settings, around),
                "StaticHyperParameters": _hyperparameters(settings, around),
                "RetryStrategy": {"MaximumRetryAttempts": 3},
            },
        },
    }


def _ranges(tune: TuneSettings) -> Json:
    whole, continuous, listed = [], [], []
    for name, found in tune.drawn_intervals.items():
        scaling = {"ScalingType": found.scale.capitalize()}
        if name in WHOLE_NUMBERS:
            ends = {"MinValue": str(int(found.min)), "MaxValue": str(int(found.max))}
            whole.append({"Name": name, **ends, **scaling})
        else:
            ends = {"MinValue": str(found.min), "MaxValue": str(found.max)}
            continuous.append({"Name": name, **ends, **scaling})
    for name, values in tune.lists.items():
        listed.append({"Name": name, "Values": [str(value) for value in values.values]})
    found_ranges = {
        "IntegerParameterRanges": whole,
        "ContinuousParameterRanges": continuous,
        "CategoricalParameterRanges": listed,
    }
    return {kind: ranges for kind, ranges in found_ranges.items() if ranges}


def _job(settings: PipelineSettings, around: Surroundings) -> Json:
    """The request of a training job, as Train and Tune have it, without its hyperparameters."""
    resources: Json = {
        "InstanceType": settings.instance_type,
        "InstanceCount": settings.instance_count,
        "VolumeSizeInGB": settings.volume_gb,
    }
    if instance_types.takes_volume_key(settings.instance_type):
        resources["VolumeKmsKeyId"] = around.key_arn
    stopping = {"MaxRuntimeInSeconds": settings.max_runtime_seconds}
    if settings.max_wait_seconds is not None:
        stopping["MaxWaitTimeInSeconds"] = settings.max_wait_seconds
    job: Json = {
        "RoleArn": around.training_role_arn,
        "AlgorithmSpecification": {
            "TrainingImage": around.training_image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [
                {"Name": name, "Regex": f"METRIC {name}=([0-9.eE+-]+)"} for name in METRICS
            ],
        },
        "InputDataConfig": [
            channel("train", output_of("Prepare", "train")),
            channel("validation", output_of("Prepare", "validation")),
            channel("base", output_of("Stage", "base")),
            channel("code", around.training_source.uri),
        ],
        "OutputDataConfig": {"S3OutputPath": around.models_uri, "KmsKeyId": around.key_arn},
        "ResourceConfig": resources,
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": settings.spot,
        "EnableNetworkIsolation": True,
    }
    if keeps_checkpoints(settings):
        # Prepare's job is the same one while its rows are: a later run resumes from the
        # checkpoints of an interrupted one, and a cached Train stays cached.
        checkpoints = f"{around.artifacts_uri}/checkpoints/{around.pipeline}"
        rows = get("Steps.Prepare.ProcessingJobName")
        job["CheckpointConfig"] = {
            "S3Uri": joined("/", checkpoints, rows),
            "LocalPath": CHECKPOINTS,
        }
    return job


def keeps_checkpoints(settings: PipelineSettings) -> bool:
    """Whether an interrupted training job goes on where it was."""
    # The jobs of a tuning share one prefix, so each would first fetch those of all others.
    return settings.spot and settings.tune is None


def _hyperparameters(settings: PipelineSettings, around: Surroundings) -> Json:
    tried, tune = settings.hyperparameters, settings.tune
    given: Json = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": f"/opt/ml/input/data/code/{around.training_source.file}",
    }
    if settings.instance_count > 1 or instance_types.gpus(settings.instance_type) > 1:
        given["sagemaker_torch_distributed_enabled"] = "true"
    for name, parameter in PARAMETERS.items():
        if tune is None or name not in tune.ranges:
            # Numbers have to be joined into a text; a text is one already.
            is_text = isinstance(getattr(tried, name), bool | str)
            given[name] = get(f"Parameters.{parameter}") if is_text else text_of(parameter)
    if tune is not None and tune.resource is not None:
        given["epochs"] = str(tune.resource[1])
    given |= {
        "gradient_checkpointing": str(tried.gradient_checkpointing),
        "seed": text_of("Seed"),
        **_identity(settings.base),
    }
    if keeps_checkpoints(settings):
        given["checkpoint_dir"] = CHECKPOINTS
    return given


def _identity(base: Base) -> Json:
    match base:
        case HubBase():
            return {"base_id": base.hub, "base_revision": base.revision}
        case PackageBase():
            return {"base_id": base.package}
        case _:
            return {"base_id": base.path}
