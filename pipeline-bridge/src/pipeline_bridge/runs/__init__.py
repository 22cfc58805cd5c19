"""The runs: started once, followed by one replica each, told in order."""

from pipeline_bridge.runs.keeper import RunKeeper
from pipeline_bridge.runs.record import FINAL, RunRecord, now

__all__ = ["FINAL", "RunKeeper", "RunRecord", "now"]
