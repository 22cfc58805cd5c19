"""What the bridge tells of its table."""

from __future__ import annotations

import json

from pipeline_bridge.catalog import read_catalog
from pipeline_bridge.catalog.catalog import BUILT_IN
from pipeline_bridge.choosing import EngineChoice
from pipeline_bridge.describing import described
from pipeline_bridge.settings import BridgeSettings


def test_pipelines_that_run_here_are_told_with_what_they_take() -> None:
    choice = EngineChoice(BridgeSettings(pipeline_engine="local", _env_file=None), {})
    told = {pipeline["name"]: pipeline for pipeline in json.loads(described(read_catalog(BUILT_IN), choice))}
    assert sorted(told) == ["batch-inference", "document-ingestion", "model-evaluation"]
    ingestion = told["document-ingestion"]
    assert ingestion["engine"] == "local"
    [source] = [one for one in ingestion["parameters"] if one["name"] == "source-url"]
    assert (source["type"], source["required"], source["default"]) == ("string", True, None)
    [collection] = [one for one in ingestion["parameters"] if one["name"] == "collection"]
    assert collection["default"] == "knowledge_base"
