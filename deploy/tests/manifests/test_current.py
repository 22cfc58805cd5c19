"""What is written from the declarations is as they say."""

from __future__ import annotations

from deploy.manifests.generate import stale


def test_the_written_files_are_current() -> None:
    assert stale() == [], "run `make manifests`"
