"""The Protocol Buffers form of the messages: `messages.proto`, and the stubs generated from it.

``python -m handler_base.messages.proto.generate`` makes the stubs anew.
"""
