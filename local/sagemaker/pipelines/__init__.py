"""SageMaker Pipelines: the JSON definition, and what runs it."""
