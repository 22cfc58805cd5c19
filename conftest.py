"""Fixtures for the tests of all packages."""

from __future__ import annotations

import signal

from hypothesis import settings

pytest_plugins = ["handler_base.testing.fixtures"]

# How long an example takes is the machine's affair; each whole test has pytest's time limit.
settings.register_profile("untimed", settings.get_profile("default"), deadline=None)
if settings.get_current_profile_name() == "default":  # not where another profile was chosen, as on CI
    settings.load_profile("untimed")

# A shell without job control has what runs in the background ignore interrupts, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    _ = signal.signal(signal.SIGINT, signal.default_int_handler)
