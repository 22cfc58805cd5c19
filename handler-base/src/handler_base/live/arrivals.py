"""Messages as they come into sessions, by one way or several."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from handler_base.errors import FleetError
from handler_base.live.endpoint import LiveEndpoint, Step
from handler_base.messages import Encoding, Message, decode, detect
from handler_base.nats_client import Msg
from handler_base.nats_client import headers as names
from handler_base.nats_client.headers import header

__all__ = ["Arrival", "encoding_of", "in_order", "read"]


@dataclass(slots=True, eq=False)
class Arrival:
    """A message on its way into its session.

    Attributes:
        msg: As it came.
        at: Unix seconds when the first replica saw it.
        passed: Whether it came by way of another replica.
        made: Whether that replica made it, to get its successor to where it was itself.
        mark: Tells it from others that come at about the same time; alike at all replicas.
    """

    msg: Msg
    at: float
    passed: bool = False
    made: bool = False
    mark: int = field(init=False)

    def __post_init__(self) -> None:
        self.mark = zlib.crc32(self.msg.data)


def encoding_of(msg: Msg) -> Encoding:
    """Return the encoding of a message, or the fleet's own where it has none of the two."""
    try:
        return detect(msg.data, header(msg.headers, names.CONTENT_TYPE))
    except FleetError:
        return Encoding.MSGPACK


def read(endpoint: LiveEndpoint, msg: Msg) -> Message:
    """Decode a message.

    Raises:
        FleetError: It is none of the endpoint's.
    """
    encoding = detect(msg.data, header(msg.headers, names.CONTENT_TYPE))
    return decode(endpoint.schema, msg.data, encoding)


def in_order(endpoint: LiveEndpoint, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Return messages that came by several ways in the order in which they were sent, each once.

    What the owner before made comes first, then the start, the end last; in between they stand by the time at which
    they came, and those that the client counts by its count.
    """
    if not any(arrival.passed for arrival in arrivals):
        return list(arrivals)
    own = {arrival.msg.data for arrival in arrivals if not arrival.passed}
    # A replica that did not know better passed on what came here as well.
    once = [arrival for arrival in arrivals if not (arrival.passed and arrival.msg.data in own)]
    steps = {id(arrival): _step(endpoint, arrival) for arrival in once}
    rank = {Step.START: 0, Step.END: 2}
    once.sort(key=lambda arrival: (not arrival.made, rank.get(steps[id(arrival)][0], 1), arrival.at))
    counted = [place for place, arrival in enumerate(once) if steps[id(arrival)][1] > 0]
    by_count = sorted((once[place] for place in counted), key=lambda arrival: steps[id(arrival)][1])
    for place, arrival in zip(counted, by_count, strict=True):
        once[place] = arrival
    return once


def _step(endpoint: LiveEndpoint, arrival: Arrival) -> tuple[Step, int]:
    try:
        message = read(endpoint, arrival.msg)
        step = endpoint.step(message)
    except FleetError:
        return Step.CHANGE, 0
    return step, endpoint.number(message) if step is Step.GO_ON else 0
