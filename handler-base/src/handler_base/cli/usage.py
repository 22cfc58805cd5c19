"""`fleet usage`: requests and tokens by day and user."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from handler_base.cli.stores import check_id, opened_archive
from handler_base.cli.terminal import clean_line, make_table, print_json_line, print_table, print_text

__all__ = ["usage"]


async def usage(*, user: str, days: int, as_json: bool) -> None:
    """Print what was used.

    Args:
        user: Only by this user; empty: by all.
        days: How many days, in UTC, with today.
        as_json: Whether to print a JSON object a line.

    Raises:
        typer.Exit: The archive cannot be read.
    """
    if user:
        check_id("--user", user)
    first = datetime.now(UTC).date() - timedelta(days=days - 1)
    async with opened_archive() as archive:
        rows = await archive.usage(user_id=user, since=datetime.combine(first, time(), UTC))
    if as_json:
        for row in rows:
            print_json_line(
                {
                    "day": row.day.isoformat(),
                    "user_id": row.user_id,
                    "requests": row.requests,
                    "prompt_tokens": row.prompt_tokens,
                    "completion_tokens": row.completion_tokens,
                    "premium_requests": row.premium_requests,
                }
            )
        return
    if not rows:
        print_text(f"Nothing was used since {first} (UTC).")
        return
    table = make_table("", "day", "user", "requests#", "prompt tokens#", "completion tokens#", "premium#")
    for row in rows:
        counts = (row.requests, row.prompt_tokens, row.completion_tokens, row.premium_requests)
        table.add_row(row.day.isoformat(), clean_line(row.user_id) or "-", *map(str, counts))
    print_table(table)
