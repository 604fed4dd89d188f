"""`python -m local`: the local AWS in the foreground."""

from __future__ import annotations

import argparse
from pathlib import Path

from local import lifecycle, ministack, server


def main() -> None:
    """Run the local AWS until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=lifecycle.default_state_dir())
    parser.add_argument("--port", type=int, default=lifecycle.DEFAULT_PORT)
    arguments = parser.parse_args()
    try:
        server.run(arguments.state_dir, arguments.port)
    except (ministack.MiniStackVersionError, lifecycle.LocalAwsError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
