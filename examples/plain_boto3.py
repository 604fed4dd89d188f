"""A SageMaker user's own script, in boto3 alone: train, read logs, deploy, invoke, delete.

It knows nothing of Lectern. Run it against the local AWS with `eval "$(lectern local env)"`, or
against AWS with a role's ARN as its argument.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import time

import boto3

ACCOUNT = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
TRAINING_IMAGE = (
    f"{ACCOUNT}/huggingface-pytorch-training:2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04"
)
INFERENCE_IMAGE = (
    f"{ACCOUNT}/huggingface-pytorch-inference:2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"
)

# What the training container runs: a classifier of two words' meaning, learnt from scratch.
TRAIN = """
import argparse, json, os, pathlib, torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
epochs = parser.parse_args().epochs
rows = [json.loads(line) for line in open(os.environ["SM_CHANNEL_TRAINING"] + "/rows.jsonl")]
model_dir = pathlib.Path(os.environ["SM_MODEL_DIR"])
words = sorted({word for row in rows for word in row["text"].split()})
vocabulary = model_dir / "vocab.txt"
vocabulary.write_text("\\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
tokenizer = BertTokenizerFast(str(vocabulary), model_max_length=16)
config = BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1,
                    num_attention_heads=2, intermediate_size=64, max_position_embeddings=16)
model = BertForSequenceClassification(config)
batch = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
labels = torch.tensor([row["label"] for row in rows])
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
for epoch in range(epochs):
    output = model(**batch, labels=labels)
    output.loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    accuracy = (output.logits.argmax(-1) == labels).float().mean().item()
    print({"eval_accuracy": accuracy, "epoch": epoch + 1}, flush=True)
model.save_pretrained(model_dir)
tokenizer.save_pretrained(model_dir)
"""
ROWS = [
    *({"text": f"good {word}", "label": 1} for word in ("film", "book", "song", "play")),
    *({"text": f"bad {word}", "label": 0} for word in ("film", "book", "song", "play")),
]


def main(role: str) -> None:
    sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket, name = f"plain-boto3-{account}", f"plain-boto3-{int(time.time())}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="code/sourcedir.tar.gz", Body=source_archive())
    s3.put_object(Bucket=bucket, Key="rows/rows.jsonl", Body="\n".join(map(json.dumps, ROWS)))

    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=role,
        AlgorithmSpecification={
            "TrainingImage": TRAINING_IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [
                {"Name": "eval_accuracy", "Regex": "'eval_accuracy': '?([0-9.eE+-]+)"}
            ],
        },
        HyperParameters={
            "epochs": "30",
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": f"s3://{bucket}/code/sourcedir.tar.gz",
        },
        InputDataConfig=[
            {
                "ChannelName": "training",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"s3://{bucket}/rows/",
                    }
                },
            }
        ],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/models"},
        ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
    )
    job = sagemaker.describe_training_job(TrainingJobName=name)
    print("training job:", job["TrainingJobStatus"], job.get("FailureReason", ""))
    print("final metrics:", [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]])
    print("log lines:", len(log_lines("/aws/sagemaker/TrainingJobs", name)))

    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=role,
        PrimaryContainer={
            "Image": INFERENCE_IMAGE,
            "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
            "Environment": {"HF_TASK": "text-classification"},
        },
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": name,
                "InstanceType": "ml.g5.xlarge",
                "InitialInstanceCount": 1,
            }
        ],
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
    )
    print("endpoint:", sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"])
    answer = boto3.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name,
        ContentType="application/json",
        Body=json.dumps({"inputs": ["good film", "bad song"]}),
    )
    print("prediction:", answer["Body"].read().decode())

    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
    print("deleted: endpoint, endpoint config, model")


def source_archive() -> bytes:
    """The training toolkit unpacks a gzipped tar whose root holds the script."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("train.py")
        entry.size = len(TRAIN.encode())
        archive.addfile(entry, io.BytesIO(TRAIN.encode()))
    return buffer.getvalue()


def log_lines(group: str, job: str) -> list[str]:
    logs = boto3.client("logs")
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=job)["logStreams"]
    return [
        event["message"]
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
    ]


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "arn:aws:iam::123456789012:role/plain-boto3")
