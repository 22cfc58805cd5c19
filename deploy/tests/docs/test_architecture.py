"""The house rules that a machine can hold: floors, no circles, no private names of others, small files."""

from __future__ import annotations

import importlib
from graphlib import CycleError, TopologicalSorter
from typing import Final

from deploy.tests.docs.sources import Module, functions, modules, runtime_imports

LIBRARY: Final = "handler_base"
FLOORS: Final = {
    "errors": 1,
    "deadline": 1,
    "config": 1,
    "http": 2,
    "messages": 2,
    "speech": 2,
    "telemetry": 3,
    "nats_client": 3,
    "clients": 3,
    "live": 4,
    "rag": 4,
    "sessions": 4,
    "answering": 5,
    "handler": 5,
    "health": 5,
    "probe": 1,
    "cli": 6,
    "testing": 6,
    "asyncapi": 6,
}
BESIDE: Final = {("deadline", "errors"), ("nats_client", "telemetry"), ("clients", "telemetry"), ("handler", "health")}
"""Rooms that may use another of their own floor."""

MOST_LINES: Final = 400
MOST_FUNCTION_LINES: Final = 60


def _room(name: str) -> str:
    """Return the room of a module of the library, or the package itself as the empty string."""
    return f"{name}.".split(".")[1]


def _where(module: Module, line: int) -> str:
    return f"{module.path.name}:{line} ({module.name})"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_every_room_of_the_library_has_a_floor() -> None:
    rooms = {_room(name) for name in modules() if name.startswith(f"{LIBRARY}.")}
    assert rooms - set(FLOORS) == set()


def test_imports_go_down_the_floors() -> None:
    upwards = []
    for module in modules().values():
        if module.package != LIBRARY or module.name == LIBRARY:
            continue
        room = _room(module.name)
        for one in module.imports:
            package, _, rest = one.module.partition(".")
            target = rest.partition(".")[0] or one.name
            if package != LIBRARY or target == room or target not in FLOORS:
                continue
            if FLOORS[target] >= FLOORS[room] and (room, target) not in BESIDE:
                upwards.append(f"{_where(module, one.line)} imports {target}")
    assert upwards == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: runtime_imports(module) for name, module in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_no_module_imports_private_names_of_another_room() -> None:
    """Within one room a module named with an underscore is shared; a name with one never leaves its module."""
    reached = []
    for module in modules().values():
        for one in module.imports:
            if one.module.partition(".")[0] not in {name.partition(".")[0] for name in modules()}:
                continue
            parts = one.module.split(".")
            same_room = module.name.split(".")[:2] == parts[:2]
            is_module = f"{one.module}.{one.name}" in modules()
            if _is_private(one.name) and not (same_room and is_module):
                reached.append(f"{_where(module, one.line)} takes {one.name} of {one.module}")
            if any(_is_private(part) for part in parts) and not same_room:
                reached.append(f"{_where(module, one.line)} reaches into {one.module}")
    assert reached == []


def test_services_import_the_library_and_themselves_only() -> None:
    packages = {module.package for module in modules().values()}
    strangers = [
        f"{_where(module, one.line)} imports {one.module}"
        for module in modules().values()
        for one in module.imports
        if (target := one.module.partition(".")[0]) in packages and target not in {module.package, LIBRARY}
    ]
    assert strangers == []


def test_services_import_names_that_are_offered() -> None:
    unoffered = []
    for module in modules().values():
        if module.package == LIBRARY:
            continue
        for one in module.imports:
            source = modules().get(one.module)
            if source is None or source.package != LIBRARY or f"{one.module}.{one.name}" in modules():
                continue
            offered = getattr(importlib.import_module(source.name), "__all__", None)
            # The subjects are constants of their module; its `__all__` names the functions and classes beside them.
            if offered is not None and one.name not in offered and not one.name.isupper():
                unoffered.append(f"{_where(module, one.line)} takes {one.name} of {one.module}")
    assert unoffered == []


def test_files_are_short() -> None:
    long = {
        name: lines
        for name, module in modules().items()
        if (lines := len(module.path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{module.name}.{name}": lines
        for module in modules().values()
        for name, lines in functions(module)
        if lines > MOST_FUNCTION_LINES
    }
    assert long == {}
