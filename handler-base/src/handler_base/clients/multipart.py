"""Form bodies with a file, as bytes: a request made of bytes can be sent again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

__all__ = ["form_with_file"]


def form_with_file(
    fields: Mapping[str, str], name: str, file_name: str, media_type: str, content: bytes
) -> tuple[bytes, dict[str, str]]:
    """Return a ``multipart/form-data`` body and its headers.

    Args:
        fields: Text fields; they come before the file.
        name: Name of the file's field.
        file_name: Its file name, ASCII without quotes.
        media_type: Its content type.
        content: Its bytes.
    """
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n"
    )
    body = b"".join((*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()))
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}", "Accept": "*/*"}
