"""What a command shows: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType

WIDE = 240


class Output:
    """Shows a person progress and tables, or a script one JSON document and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # A script may read stdout and stderr as one, and then wants the document alone.
        silent = as_json and not sys.stderr.isatty()
        self._progress = Console(
            stderr=True, highlight=False, markup=False, quiet=silent, soft_wrap=True
        )
        # Where nobody watches there is no width to keep to.
        width = None if sys.stdout.isatty() else WIDE
        self._result = Console(highlight=False, markup=False, width=width)

    def say(self, line: str) -> None:
        """Tell one line of progress."""
        self._progress.print(line)

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show that work is going on, where somebody watches; yields what tells how far."""
        with self._progress.status(what) as status:
            yield status.update

    def show(self, document: dict[str, Any] | list[Any], *readable: RenderableType) -> None:
        """Print the result: the document for a script, or the readable form."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
            return
        for part in readable:
            self._result.print(part)
