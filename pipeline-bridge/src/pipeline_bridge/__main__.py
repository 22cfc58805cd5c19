"""Runs the pipeline bridge: ``python -m pipeline_bridge``."""

from handler_base.handler import run
from pipeline_bridge import BridgeSettings, PipelineBridge

if __name__ == "__main__":
    run(PipelineBridge, BridgeSettings)
