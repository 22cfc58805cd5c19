"""What a PromQL expression names, read without an engine."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["metrics_of", "selectors_of"]

_STRING: Final = re.compile(r'"(?:\\.|[^"\\])*"')
_WORDS: Final = frozenset(
    [
        *(
            "and",
            "or",
            "unless",
            "on",
            "by",
            "sum",
            "min",
            "max",
            "avg",
            "count",
            "rate",
            "increase",
            "changes",
            "round",
        ),
        *("changes", "round", "histogram_quantile", "min_over_time", "max_over_time"),
    ]
)


def metrics_of(expr: str) -> set[str]:
    """Return the metrics an expression reads."""
    bare = _STRING.sub('""', expr)
    bare = re.sub(r"\b(by|on|ignoring|without) *\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    return set(re.findall(r"[a-zA-Z_:][\w:]*", bare)) - _WORDS


def selectors_of(expr: str) -> list[tuple[str, set[str]]]:
    """Return each metric that is read with matchers, and the labels they look at."""
    bare = _STRING.sub('""', expr)
    found = re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", bare)
    return [(metric, set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", matchers))) for metric, matchers in found]
