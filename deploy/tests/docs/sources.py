"""The sources of the packages as they import each other, read without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "Import", "Module", "functions", "modules", "runtime_imports"]

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Import:
    """One imported thing.

    Attributes:
        module: The module named.
        name: What is taken from it; empty for the module itself.
        line: Where.
        typing_only: Whether it is only for type checkers.
        deferred: Whether it stands in a function.
    """

    module: str
    name: str
    line: int
    typing_only: bool
    deferred: bool


@dataclass(frozen=True)
class Module:
    """One source file.

    Attributes:
        name: Dotted.
        path: Where it is.
        tree: Its syntax tree.
        imports: All it imports.
    """

    name: str
    path: Path
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.name.partition(".")[0]

    @property
    def is_package(self) -> bool:
        """Whether it is an ``__init__``."""
        return self.path.name == "__init__.py"


@cache
def modules() -> dict[str, Module]:
    """Return every module of the six packages, by name; generated stubs are left out."""
    found = {}
    for path in sorted(ROOT.glob("*/src/**/*.py")):
        if path.stem.endswith("_pb2"):
            continue
        parts = path.with_suffix("").parts[path.parts.index("src") + 1 :]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[name] = Module(name, path, tree, tuple(_imports(tree)))
    return found


def runtime_imports(module: Module) -> set[str]:
    """Return the modules of ours that are loaded with a module, itself left out."""
    known = modules()
    loaded = set()
    for one in module.imports:
        if one.typing_only or one.deferred:
            continue
        submodule = f"{one.module}.{one.name}"
        target = submodule if submodule in known else one.module
        if target in known and target != module.name:
            loaded.add(target)
    return loaded


def functions(module: Module) -> Iterator[tuple[str, int]]:
    """Yield the name and the length in lines of each function."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def _imports(node: ast.AST, *, typing_only: bool = False, deferred: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, "", child.lineno, typing_only, deferred)
        elif isinstance(child, ast.ImportFrom) and child.module is not None:
            for alias in child.names:
                yield Import(child.module, alias.name, child.lineno, typing_only, deferred)
        else:
            guarded = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, typing_only=typing_only or guarded, deferred=deferred or inside)
