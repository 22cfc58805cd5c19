"""What services that answer questions have in common: what they call, and what they do after an answer."""

from handler_base.answering.backends import Backends
from handler_base.answering.sources import source_of
from handler_base.answering.summaries import Summaries

__all__ = ["Backends", "Summaries", "source_of"]
