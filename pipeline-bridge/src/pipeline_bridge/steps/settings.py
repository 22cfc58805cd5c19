"""Settings of the steps that pipelines are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from handler_base.config import RagSettings

__all__ = ["StepSettings"]


class StepSettings(RagSettings):
    """What a step reads, besides where models, documents and NATS are."""

    source_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Beginnings of URLs that pipelines may read from, separated by commas; empty: none."
    )
    artifacts_dir: str = Field("artifacts", description="Folder of what runs produce; each has one of its own in it.")
    artifacts_url: str = Field(
        "",
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?)?$",
        description="Address of `ARTIFACTS_DIR` where it is a bucket's folder, mounted or copied there: `s3://bucket/path`;"
        " empty: artifacts are named in the message alone.",
    )

    @field_validator("source_urls", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
