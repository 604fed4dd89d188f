"""What a handler reports when it cannot answer, so that the caller learns whose fault it was."""

import json
from typing import Literal


class Fault(Exception):
    """Its text is one JSON object, since the serving toolkit passes on nothing but the text.

    The toolkit makes a 400 of every exception: `fault` tells a bad request from a bad model.
    """

    def __init__(
        self, code: str, message: str, *, fault: Literal["client", "server"] = "client"
    ) -> None:
        super().__init__(code, message, fault)
        self.code = code
        self.message = message
        self.fault = fault

    def __str__(self) -> str:
        return json.dumps({"code": self.code, "fault": self.fault, "message": self.message})
