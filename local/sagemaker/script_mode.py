"""The training toolkit's script mode: hyperparameters to arguments, SM_* variables, the archive."""

from __future__ import annotations

import json
import os
import re
import socket
import tarfile
from pathlib import Path
from typing import Any

from local.sagemaker.containers import Container, requirements_fault
from local.sagemaker.store import Json
from local.sagemaker.transfer import Bucket, NothingFound, unpack

_ENTRY_POINT = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+/-]*")
_HOST = "algo-1"
_PROCESSES_PER_HOST = 2


class FrameworkError(Exception):
    """The toolkit gives up before the script starts."""


def decoded(hyperparameters: dict[str, str]) -> dict[str, Any]:
    """Each value read as JSON where it is JSON, kept as text where it is not."""
    values: dict[str, Any] = {}
    for name, text in hyperparameters.items():
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def user_arguments(values: dict[str, Any]) -> list[str]:
    """`--key value` for each hyperparameter that is the script's, sorted by key."""
    words: list[str] = []
    for name in sorted(values):
        words += [f"--{name}" if len(name) > 1 else f"-{name}", _text(values[name])]
    return words


def split_hyperparameters(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The script's own, and the toolkit's."""
    own = {k: v for k, v in values.items() if not _is_toolkit(k)}
    return own, {k: v for k, v in values.items() if _is_toolkit(k)}


def fetch_code(container: Container, s3: Bucket, source: str | None, *, isolated: bool) -> Path:
    """`/opt/ml/code` with the archive's content; raises FrameworkError."""
    code = container.ml / "code"
    if source is None:
        return code
    if source.startswith("s3://"):
        if isolated:
            raise FrameworkError(
                f"sagemaker_submit_directory {source} cannot be reached: network isolation is on, "
                "so give the archive in a channel and name its path under /opt/ml/input/data"
            )
        archive = container.directory / "sourcedir.tar.gz"
        try:
            s3.download_object(source, archive)
        except NothingFound:
            raise FrameworkError(
                "ClientError: An error occurred (404) when calling the HeadObject operation: "
                f"Not Found: sagemaker_submit_directory {source}"
            ) from None
    else:
        archive = Path(container.rewritten(source))
        if archive.is_dir():
            return archive
    try:
        unpack(archive, code)
    except FileNotFoundError:
        raise FrameworkError(
            f"FileNotFoundError: sagemaker_submit_directory {source} does not exist"
        ) from None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise FrameworkError(
            f"{type(error).__name__}: {error}: sagemaker_submit_directory {source} must be a "
            "gzipped tar with the script at its root"
        ) from None
    return code


def is_distributed(toolkit: dict[str, Any]) -> bool:
    """Whether torchrun is to start the script."""
    return str(toolkit.get("sagemaker_torch_distributed_enabled", "")).lower() == "true"


def command(
    code: Path, program: Json, arguments: list[str], *, distributed: bool = False
) -> list[str]:
    """The words that start the script; raises FrameworkError for a name the toolkit refuses."""
    if not isinstance(program, str) or not program:
        raise FrameworkError(
            "no entry point: set the hyperparameter sagemaker_program to the script's name"
        )
    if not _ENTRY_POINT.fullmatch(program) or {".", ".."} & set(program.split("/")):
        raise FrameworkError(
            f"ValueError: sagemaker_program {program!r} must be a plain relative path"
        )
    if not (code / program).is_file():
        raise FrameworkError(f"FileNotFoundError: {program} is not in the archive's root")
    fault = requirements_fault(code / "requirements.txt")
    if fault:
        raise FrameworkError(f"InstallRequirementsError: {fault}")
    if distributed:
        return [*_torchrun(program), program, *arguments]
    if program.endswith(".sh"):
        return ["/bin/sh", "-c", './"$0" "$@"', program, *arguments]
    return ["python3", program, *arguments]


def _torchrun(program: str) -> list[str]:
    """Two processes on this machine's CPU stand for the GPUs of one instance."""
    if not program.endswith(".py"):
        raise FrameworkError(
            f"ValueError: sagemaker_program {program!r} must be a Python script (.py) where "
            "sagemaker_torch_distributed_enabled is true: torchrun starts nothing else"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        *("python3", "-m", "torch.distributed.run"),
        *("--nnodes", "1", "--nproc_per_node", str(_PROCESSES_PER_HOST)),
        *("--master_addr", "127.0.0.1", "--master_port", str(port)),
    ]


def variables(
    container: Container,
    *,
    code: Path,
    program: str,
    values: dict[str, Any],
    channels: dict[str, Any],
    resources: dict[str, Any],
    job_name: str,
) -> dict[str, str]:
    """Every SM_* variable the toolkit sets for a script on one CPU host."""
    own, toolkit = split_hyperparameters(values)
    ml = container.ml
    directories = {
        "SM_MODEL_DIR": ml / "model",
        "SM_OUTPUT_DIR": ml / "output",
        "SM_OUTPUT_DATA_DIR": ml / "output" / "data",
        "SM_OUTPUT_INTERMEDIATE_DIR": ml / "output" / "intermediate",
        "SM_INPUT_DIR": ml / "input",
        "SM_INPUT_CONFIG_DIR": ml / "input" / "config",
    }
    channel_directories = {name: str(ml / "input" / "data" / name) for name in channels}
    module = program.removesuffix(".py")
    arguments = user_arguments(own)
    group = resources["current_group_name"]
    training_env = {
        "additional_framework_parameters": toolkit,
        "channel_input_dirs": channel_directories,
        "current_host": _HOST,
        "current_instance_type": resources["current_instance_type"],
        "framework_module": "sagemaker_pytorch_container.training:main",
        "hosts": [_HOST],
        "hyperparameters": own,
        "input_config_dir": str(directories["SM_INPUT_CONFIG_DIR"]),
        "input_data_config": channels,
        "input_dir": str(directories["SM_INPUT_DIR"]),
        "is_master": True,
        "job_name": job_name,
        "log_level": int(toolkit.get("sagemaker_container_log_level", 20)),
        "master_hostname": _HOST,
        "model_dir": str(directories["SM_MODEL_DIR"]),
        "module_dir": str(code),
        "module_name": module,
        "network_interface_name": resources["network_interface_name"],
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": 0,
        "num_neurons": 0,
        "output_data_dir": str(directories["SM_OUTPUT_DATA_DIR"]),
        "output_dir": str(directories["SM_OUTPUT_DIR"]),
        "output_intermediate_dir": str(directories["SM_OUTPUT_INTERMEDIATE_DIR"]),
        "resource_config": resources,
        "user_entry_point": program,
    }
    found = {name: str(path) for name, path in directories.items()}
    found |= {f"SM_CHANNEL_{name.upper()}": path for name, path in channel_directories.items()}
    found |= {f"SM_HP_{name.upper()}": _text(value) for name, value in own.items()}
    return found | {
        "SM_CHANNELS": json.dumps(sorted(channels)),
        "SM_CURRENT_HOST": _HOST,
        "SM_CURRENT_INSTANCE_GROUP": group,
        "SM_CURRENT_INSTANCE_GROUP_HOSTS": json.dumps([_HOST]),
        "SM_CURRENT_INSTANCE_TYPE": resources["current_instance_type"],
        "SM_FRAMEWORK_MODULE": "sagemaker_pytorch_container.training:main",
        "SM_FRAMEWORK_PARAMS": json.dumps(toolkit),
        "SM_HOSTS": json.dumps([_HOST]),
        "SM_HPS": json.dumps(own),
        "SM_INPUT_DATA_CONFIG": json.dumps(channels),
        "SM_INSTANCE_GROUPS": json.dumps([group]),
        "SM_INSTANCE_GROUPS_DICT": json.dumps({group: resources["instance_groups"][0]}),
        "SM_IS_HETERO": "false",
        "SM_LOG_LEVEL": str(training_env["log_level"]),
        "SM_MODULE_DIR": str(code),
        "SM_MODULE_NAME": module,
        "SM_NETWORK_INTERFACE_NAME": resources["network_interface_name"],
        "SM_NUM_CPUS": str(os.cpu_count() or 1),
        "SM_NUM_GPUS": "0",
        "SM_NUM_NEURONS": "0",
        "SM_RESOURCE_CONFIG": json.dumps(resources),
        "SM_TRAINING_ENV": json.dumps(training_env),
        "SM_USER_ARGS": json.dumps(arguments),
        "SM_USER_ENTRY_POINT": program,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "7777",
        "PYTHONPATH": str(code),
    }


def _is_toolkit(name: str) -> bool:
    return name.startswith("sagemaker_") or name == "_tuning_objective_metric"


def _text(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ",".join(f"{name}={inner}" for name, inner in sorted(value.items()))
    return str(value)
