"""Runs the chat handler: ``python -m chat_handler``; with ``ARCHIVE_MODE=only`` the archive alone."""

from chat_handler import ArchiveHandler, ChatHandler, ChatSettings
from handler_base.handler import Handler, run


def _handler(settings: ChatSettings) -> Handler[ChatSettings]:
    return ArchiveHandler(settings) if settings.archive_mode == "only" else ChatHandler(settings)


if __name__ == "__main__":
    run(_handler, ChatSettings)
