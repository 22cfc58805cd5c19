"""`fleet prefs`: what a user prefers."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from handler_base.cli.stores import check_id, opened_store
from handler_base.cli.terminal import clean_line, print_text
from handler_base.sessions.records import Preferences

__all__ = ["Change", "preferences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be set; None leaves it as it is, an empty text unsets it."""

    voice: str | None = None
    """Voice that answers are spoken with."""
    model: str | None = None
    """Model that answers."""
    language: str | None = None
    """Language of the answers."""
    rag: bool | None = None
    """Whether documents are searched."""
    clear: bool = False
    """Whether to unset everything first."""

    def apply(self, now: Preferences) -> Preferences:
        """Return the preferences with the change."""
        given = {"voice": self.voice, "model": self.model, "language": self.language, "rag": self.rag}
        changes = {name: value for name, value in given.items() if value is not None}
        return msgspec.structs.replace(Preferences() if self.clear else now, **changes)


async def preferences(user: str, change: Change) -> None:
    """Set what is to be changed, and print what is preferred then.

    Args:
        user: Whose.
        change: What to set.

    Raises:
        typer.Exit: Valkey cannot be reached.
    """
    check_id("USER", user)
    async with opened_store() as store:
        before = await store.preferences(user)
        after = change.apply(before)
        if after != before or change.clear:
            await store.set_preferences(user, after)
    shown = {
        "voice": clean_line(after.voice) or "-",
        "model": clean_line(after.model) or "-",
        "language": clean_line(after.language) or "-",
        "documents": "searched" if after.rag else "not searched",
    }
    for name, value in shown.items():
        print_text(f"{name:<10} {value}")
