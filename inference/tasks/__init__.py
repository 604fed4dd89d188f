"""One module a task: what it accepts, and how a model answers it."""
