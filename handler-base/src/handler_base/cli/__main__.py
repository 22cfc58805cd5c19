"""``python -m handler_base.cli`` is `fleet`."""

from handler_base.cli import main

main()
