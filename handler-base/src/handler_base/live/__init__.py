"""Sessions that go on for a while, message by message, each at exactly one replica."""

from handler_base.live.endpoint import End, LiveEndpoint, LiveLimits, LiveWork, Step, live, live_endpoints_of
from handler_base.live.router import LiveRouter
from handler_base.live.session import LiveSession, OwnershipLostError

__all__ = [
    "End",
    "LiveEndpoint",
    "LiveLimits",
    "LiveRouter",
    "LiveSession",
    "LiveWork",
    "OwnershipLostError",
    "Step",
    "live",
    "live_endpoints_of",
]
