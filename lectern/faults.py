"""What ends a command: one line for the person, one exit code for the script."""

from __future__ import annotations


class LecternError(Exception):
    """A command cannot do what was asked."""

    exit_code = 1


class UsageError(LecternError):
    """The command was asked for something that cannot be."""

    exit_code = 2
