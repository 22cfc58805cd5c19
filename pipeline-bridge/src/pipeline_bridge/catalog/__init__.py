"""The table of pipelines: what may be triggered, with which parameters."""

from pipeline_bridge.catalog.catalog import Catalog, InvalidCatalogError, read_catalog
from pipeline_bridge.catalog.definition import EngineName, Parameter, ParameterType, Pipeline, Value

__all__ = [
    "Catalog",
    "EngineName",
    "InvalidCatalogError",
    "Parameter",
    "ParameterType",
    "Pipeline",
    "Value",
    "read_catalog",
]
