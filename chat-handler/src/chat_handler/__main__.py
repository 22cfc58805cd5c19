"""Runs the chat handler: ``python -m chat_handler``."""

from chat_handler import ChatHandler, ChatSettings
from handler_base.handler import run

if __name__ == "__main__":
    run(ChatHandler, ChatSettings)
