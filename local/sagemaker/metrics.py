"""Metric definitions applied to log lines, kept for Describe and sent to CloudWatch."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.cloud import Cloud
from local.sagemaker.errors import ValidationException

_NAMESPACE = "/aws/sagemaker/TrainingJobs"
_POINTS_IN_A_CALL = 20

_log = logging.getLogger(__name__)


class JobMetrics:
    """The metrics of one training job."""

    def __init__(self, job_name: str, definitions: list[dict[str, str]]) -> None:
        self._job_name = job_name
        self._patterns = [(item["Name"], compiled(item)) for item in definitions]
        self._lock = threading.Lock()
        self._last: dict[str, dict[str, Any]] = {}
        self._values: dict[str, list[float]] = {}
        self._unsent: list[dict[str, Any]] = []

    def read(self, line: str) -> None:
        """Takes every metric that the line shows: the first group of a regex is the number."""
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                try:
                    value = float(match.group(1))
                except (ValueError, IndexError, TypeError):
                    continue
                # CloudWatch takes no other numbers.
                if not math.isfinite(value):
                    continue
                moment = time.time()
                with self._lock:
                    self._values.setdefault(name, []).append(value)
                    self._last[name] = {"MetricName": name, "Value": value, "Timestamp": moment}
                    self._unsent.append(
                        {
                            "MetricName": name,
                            "Value": value,
                            "Timestamp": moment,
                            "Dimensions": [{"Name": "TrainingJobName", "Value": self._job_name}],
                        }
                    )

    def values(self, name: str) -> list[float]:
        """Every value of one metric so far, in the order of the lines."""
        with self._lock:
            return list(self._values.get(name, []))

    def final(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._last.values())

    def send(self, cloud: Cloud) -> None:
        """Puts what was not sent yet; a lost point costs the graph, never the job."""
        with self._lock:
            points, self._unsent = self._unsent, []
        for start in range(0, len(points), _POINTS_IN_A_CALL):
            try:
                cloud.cloudwatch.put_metric_data(
                    Namespace=_NAMESPACE, MetricData=points[start : start + _POINTS_IN_A_CALL]
                )
            except (BotoCoreError, ClientError) as error:
                _log.warning("metrics of %s are lost: %s", self._job_name, error)
                return


def compiled(definition: dict[str, str]) -> re.Pattern[str]:
    """The definition's pattern; refuses what is not a regular expression."""
    try:
        return re.compile(definition["Regex"])
    except re.error as error:
        raise ValidationException(
            f"Invalid metric definition {definition['Name']!r}: regex "
            f"{definition['Regex']!r} does not compile: {error}"
        ) from None
