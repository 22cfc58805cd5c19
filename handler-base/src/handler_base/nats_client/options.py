"""How to reach the NATS servers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from handler_base.config import Settings

__all__ = ["ConnectionOptions", "options_from_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Options of a `NatsConnection`. Files are read again at each attempt, so that credentials may rotate."""

    servers: tuple[str, ...] = ("nats://localhost:4222",)
    """URLs; tried in turn."""
    name: str = ""
    """What monitoring shows for this client."""
    user: str = ""
    """User name, where the server asks for one."""
    password: str = ""
    """Password of `user`."""
    token: str = ""
    """Token, where the server asks for one."""
    creds: str = ""
    """Path of a .creds file (JWT and nkey seed)."""
    nkey_seed_path: str = ""
    """Path of a file with an nkey seed."""
    tls_ca: str = ""
    """Path of a CA certificate; turns TLS on."""
    tls_cert: str = ""
    """Path of a client certificate."""
    tls_key: str = ""
    """Path of the client certificate's key."""
    inbox_prefix: str = "_INBOX"
    """First tokens of reply inboxes."""
    ping_interval: timedelta = timedelta(seconds=10)
    """Between pings; a link with two of them unanswered is dropped, after twice this time at the latest."""
    connect_timeout: timedelta = timedelta(seconds=2)
    """For each step of the handshake with one server."""
    reconnect_min: timedelta = timedelta(milliseconds=50)
    """Pause after the first failed attempt; doubled after each, with jitter."""
    reconnect_max: timedelta = timedelta(milliseconds=500)
    """Longest pause while no server answers."""
    refused_max: timedelta = timedelta(seconds=10)
    """Longest pause while a server answers and refuses, or drops the link soon after."""
    pending_size: int = 8 * 1024 * 1024
    """Bytes kept for the time without a link, and the mark above which `publish` waits for the socket."""

    def credentials(self) -> dict[str, Any]:
        """Return the credentials as nats-py's ``connect`` takes them."""
        options: dict[str, Any] = {
            "name": self.name or None,
            "user": self.user or None,
            "password": self.password or None,
            "token": self.token or None,
            "user_credentials": self.creds or None,
            "nkeys_seed": self.nkey_seed_path or None,
            "inbox_prefix": self.inbox_prefix,
        }
        return {key: value for key, value in options.items() if value is not None}

    @property
    def uses_tls(self) -> bool:
        """Whether a certificate is named."""
        return bool(self.tls_ca or self.tls_cert)

    def tls_context(self) -> ssl.SSLContext:
        """Read the certificates; blocks on files."""
        context = ssl.create_default_context(cafile=self.tls_ca or None)
        if self.tls_cert:
            context.load_cert_chain(self.tls_cert, self.tls_key or None)
        return context


def options_from_settings(settings: Settings, name: str, **overrides: Any) -> ConnectionOptions:  # noqa: ANN401 - fields of the options
    """Return the options an operator set.

    Args:
        settings: The service's.
        name: Of the client, as monitoring shows it.
        **overrides: Fields of `ConnectionOptions` that the settings do not hold.
    """
    fields: Mapping[str, Any] = {
        "servers": tuple(settings.nats_servers),
        "name": name,
        "user": settings.nats_user,
        "password": settings.nats_password.get_secret_value(),
        "token": settings.nats_token.get_secret_value(),
        "creds": _path(settings.nats_creds),
        "nkey_seed_path": _path(settings.nats_nkey_seed_path),
        "tls_ca": _path(settings.nats_tls_ca),
        "tls_cert": _path(settings.nats_tls_cert),
        "tls_key": _path(settings.nats_tls_key),
        "inbox_prefix": settings.nats_inbox_prefix or "_INBOX",
        "ping_interval": timedelta(seconds=settings.nats_ping_interval or 10),
    }
    return ConnectionOptions(**{**fields, **overrides})


def _path(path: str) -> str:
    return str(Path(path).expanduser()) if path else ""
