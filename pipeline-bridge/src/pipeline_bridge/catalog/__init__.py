"""The table of pipelines: what may be triggered, with which parameters."""

from pipeline_bridge.catalog.catalog import BUILT_IN, Catalog, InvalidCatalogError, read_catalog
from pipeline_bridge.catalog.definition import EngineName, Parameter, ParameterType, Pipeline, Value
from pipeline_bridge.catalog.watching import CatalogWatch

__all__ = [
    "BUILT_IN",
    "Catalog",
    "CatalogWatch",
    "EngineName",
    "InvalidCatalogError",
    "Parameter",
    "ParameterType",
    "Pipeline",
    "Value",
    "read_catalog",
]
