"""The commands of pipelines: `fleet pipelines`, `trigger` and `runs`."""
