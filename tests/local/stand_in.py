"""The local AWS with a SageMaker that keeps records only: endpoints and jobs do as they are told.

Told by the model's environment: `FAIL` makes an endpoint on it fail with that reason, `SLOW` never to
come into service. Told by a
job's name: `-fails` makes it fail, `-runs` keeps it in progress until it is stopped. Tags put on
`event/1` are the detail of an event.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
from botocore.validate import ParamValidator

from local import server
from local.sagemaker.errors import ModelError, ResourceNotFound, ValidationException
from local.sagemaker.service import Answer

KINDS = ("Model", "EndpointConfig", "Endpoint", "ModelPackageGroup", "Pipeline")
MODEL = botocore.session.get_session().get_service_model("sagemaker")
JOBS = ("TrainingJob", "ProcessingJob", "TransformJob")


class StandIn:
    def __init__(self, platform):
        self.platform = platform
        self.file = platform.state_dir / "stand-in.json"
        self.records = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.lock = threading.Lock()

    def call(self, operation, request):
        shape = MODEL.operation_model(operation).input_shape
        report = ParamValidator().validate(request, shape)
        if report.has_errors():
            raise ValidationException(report.generate_report())
        with self.lock:
            answer = self._call(operation, request)
            # Whole or not at all: tests kill this process at any moment.
            written = self.file.with_suffix(".new")
            written.write_text(json.dumps(self.records, default=str))
            written.replace(self.file)
        return answer

    def invoke(self, endpoint, body, headers):
        record = self.records.get(f"Endpoint/{endpoint}")
        if record is None or record["EndpointStatus"] not in ("InService", "Updating"):
            raise ValidationException(f"Endpoint {endpoint} not found", code="ValidationError")
        if body == b"boom":
            raise ModelError(
                'Received client error (400) from primary with message "the container said no"',
                OriginalStatusCode=400,
                OriginalMessage="the container said no",
            )
        config = self.records[f"EndpointConfig/{record['EndpointConfigName']}"]
        model = self.records[f"Model/{config['ProductionVariants'][0]['ModelName']}"]
        environment = model["PrimaryContainer"].get("Environment", {})
        answer = {"heard": body.decode(), "version": environment.get("VERSION")}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def recover(self):
        return

    def stop(self):
        return

    def _call(self, operation, request):
        if operation in ("AddTags", "DeleteTags", "ListTags"):
            return self._tags(operation, request)
        for kind in (*KINDS, *JOBS):
            if operation.endswith(kind):
                name = request[f"{kind}Name"]
                return getattr(self, f"_{operation.removesuffix(kind).lower()}")(
                    kind, name, request
                )
        raise ValidationException(f"the stand-in does not know {operation}")

    def _create(self, kind, name, request):
        # The real one reads S3 here, on this very server: it must be able to answer meanwhile.
        urllib.request.urlopen(self.platform.endpoint_url, timeout=5).close()
        if f"{kind}/{name}" in self.records:
            raise ValidationException(f"Cannot create already existing {kind} {name}")
        arn = f"arn:aws:sagemaker:us-east-1:123456789012:{kind.lower()}/{name}"
        record = {**request, f"{kind}Arn": arn, "CreationTime": time.time(), "calls": ["Create"]}
        if kind == "Endpoint":
            self._serve(record, request["EndpointConfigName"])
        if kind in JOBS:
            record[f"{kind}Status"] = "InProgress" if "-runs" in name else "Completed"
            if record[f"{kind}Status"] == "Completed":
                record[f"{kind.removesuffix('Job')}EndTime"] = datetime.now(UTC)
            if "-fails" in name:
                record |= {f"{kind}Status": "Failed", "FailureReason": "the job was told to fail"}
        if kind == "ModelPackageGroup":
            record["ModelPackageGroupStatus"] = "Completed"
        self.records[f"{kind}/{name}"] = record
        return {f"{kind}Arn": arn}

    def _describe(self, kind, name, request):
        try:
            return dict(self.records[f"{kind}/{name}"])
        except KeyError:
            raise ResourceNotFound(f"Could not find {kind} {name}") from None

    def _update(self, kind, name, request):
        record = self.records[f"{kind}/{name}"]
        record["calls"] = [*record["calls"], "Update"]
        if kind == "Endpoint":
            old = record["EndpointConfigName"]
            self._serve(record, request["EndpointConfigName"])
            if record["EndpointStatus"] == "Failed":
                record |= {"EndpointStatus": "InService", "EndpointConfigName": old}
        else:
            record |= request
        return {f"{kind}Arn": record[f"{kind}Arn"]}

    def _delete(self, kind, name, request):
        del self.records[f"{kind}/{name}"]
        return {}

    def _stop(self, kind, name, request):
        self.records[f"{kind}/{name}"][f"{kind}Status"] = "Stopped"
        return {}

    def _serve(self, record, config_name):
        config = self.records[f"EndpointConfig/{config_name}"]
        model = self.records[f"Model/{config['ProductionVariants'][0]['ModelName']}"]
        reason = model["PrimaryContainer"].get("Environment", {}).get("FAIL")
        status = "Creating" if "SLOW" in model["PrimaryContainer"]["Environment"] else "InService"
        record |= {"EndpointConfigName": config_name, "EndpointStatus": status}
        if reason:
            record |= {"EndpointStatus": "Failed", "FailureReason": reason}

    def _tags(self, operation, request):
        if request["ResourceArn"].endswith("event/1"):
            detail = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
            self.platform.put_event(
                "SageMaker Model Package State Change", detail, [request["ResourceArn"]]
            )
            return {"Tags": request["Tags"]}
        record = next(
            record for record in self.records.values() if request["ResourceArn"] in record.values()
        )
        tags = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
        tags |= {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        for key in request.get("TagKeys", []):
            del tags[key]
        record["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        return {"Tags": record["Tags"]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    server.run(arguments.state_dir, arguments.port, StandIn)
