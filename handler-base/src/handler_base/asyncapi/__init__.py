"""The AsyncAPI 3 document of the fleet, made from the declarations that the services run on."""

from handler_base.asyncapi.document import document, to_yaml

__all__ = ["document", "to_yaml"]
