"""How schemathesis writes bodies of the media types that it does not know: as they are."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-text", "application/jsonlines", "application/x-ndjson")
def as_it_is(_: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", errors="surrogatepass")
