"""How documents are shared out: the parts of a source, for a workflow that gives each to a pod of its own."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Final

import msgspec

from handler_base.errors import InvalidRequestError
from pipeline_bridge.steps.document_ingestion import documents
from pipeline_bridge.steps.output import Output
from pipeline_bridge.steps.parts import MOST_PARTS
from pipeline_bridge.steps.settings import StepSettings
from pipeline_bridge.steps.sources import Sources
from pipeline_bridge.steps.step import Step

__all__ = ["Parameters", "run"]

_PARTS: Final = "parts.json"


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What is to be shared out.

    Attributes:
        source_url: A file, a folder, a page or a sitemap.
        documents_per_part: About how many documents a part has.
        most_parts: Most parts there may be.
    """

    source_url: str
    documents_per_part: Annotated[int, msgspec.Meta(ge=1)] = 50
    most_parts: Annotated[int, msgspec.Meta(ge=1, le=MOST_PARTS)] = 32


async def run(step: Step) -> None:
    """Write the parts to ``parts.json``, as a list of ``index/count``.

    Raises:
        FleetError: The source may not be read, or holds no documents.
    """
    parameters = step.parameters(Parameters)
    settings = StepSettings()
    async with Sources(settings.source_urls) as sources:
        found = await documents(sources, parameters.source_url)
    if not found:
        raise InvalidRequestError("There are no documents; .txt, .md, .html and .pdf files are read.")
    count = min(math.ceil(len(found) / parameters.documents_per_part), parameters.most_parts)
    parts = [f"{index}/{count}" for index in range(count)]
    await asyncio.to_thread(Output(step, settings).write, _PARTS, msgspec.json.encode(parts))
    step.progress(1, 1, f"{len(found)} documents in {count} parts.")
