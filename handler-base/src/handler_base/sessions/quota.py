"""How much a user may ask."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["QuotaLimits"]


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What a user is granted; 0 is no limit.

    Each is a bucket that starts full and refills evenly, so that nobody waits for a minute or a day to end.
    Standard and premium questions of a user draw on buckets of their own.

    Attributes:
        requests_per_minute: Questions; this many may also come at once.
        tokens_per_day: Of prompts and answers. What an answer costs is known after it, so the bucket may go
            into debt, which the next question has to wait for.
        premium_requests_per_minute: The same for premium questions.
        premium_tokens_per_day: The same for premium questions.
    """

    requests_per_minute: int = 0
    tokens_per_day: int = 0
    premium_requests_per_minute: int = 0
    premium_tokens_per_day: int = 0

    def granted(self, *, premium: bool) -> tuple[int, int]:
        """Return requests a minute and tokens a day."""
        if premium:
            return self.premium_requests_per_minute, self.premium_tokens_per_day
        return self.requests_per_minute, self.tokens_per_day
