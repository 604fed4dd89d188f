"""One fresh process: imports, loads, answers one text, prints its peak memory in MiB.

`python -m benchmarks.cold_start stock|torch|onnx|onnx-int8 MODEL_DIR TEXT`
"""

import sys
from pathlib import Path


def main(engine: str, model_dir: str, text: str) -> None:
    answer = _toolkit(model_dir, text) if engine == "stock" else _alone(engine, model_dir, text)
    assert answer, "no answer"
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(line.split()[1]) / 1024)


def _alone(engine: str, model_dir: str, text: str) -> object:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "inference"))
    from tasks.registry import load

    task = load("text-classification", Path(model_dir), engine=engine, device="cpu")
    (answer,) = task.answer([task.read({"inputs": text})])
    return answer.value


def _toolkit(model_dir: str, text: str) -> object:
    import json
    import os

    from local.serving import Context, RequestProcessor, handler_service

    os.environ["HF_TASK"] = "text-classification"
    service, context = handler_service(), Context(Path(model_dir), gpu_id=None)
    service.initialize(context)
    context.request_processor = [RequestProcessor({"Content-Type": "application/json"})]
    return service.handle([{"body": bytearray(json.dumps({"inputs": text}).encode())}], context)


if __name__ == "__main__":
    main(*sys.argv[1:])
