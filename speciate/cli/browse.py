"""`speciate registry browse`: the registry as a page in a browser."""

import os
import sys

import click

from speciate.cli.options import as_json_option
from speciate.cli.registry import reading, registry
from speciate.endings import answer, document
from speciate.errors import MissingComponent

INSTALL = 'uv sync --extra browse, or pip install "speciate[browse]"'


@registry.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0: for all with the link.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8477, show_default=True, help="0 takes any that is free."
)
@click.option("--no-open", is_flag=True, help="Open no browser.")
@as_json_option
def browse(host: str, port: int, no_open: bool, as_json: bool) -> int:
    """Show the registry as a web page, until Ctrl-C.

    It lists and filters all species, draws gain against forgetting and who descends from whom, shows every entry and
    compares two of them; nothing can be changed there. Only this machine can open it. With another --host others can
    who have the link: it holds a token. /api/ has the same as JSON.
    """
    _check_components()
    from speciate.browse.server import bound, serve
    from speciate.registry import index

    place = bound(host, port)
    try:
        # What takes long is done before anybody waits for a page.
        with index.opened(reading()):
            pass

        def ready() -> None:
            found = document(
                "registry-browse/1", url=place.link, host=place.host, port=place.port, token=place.access.token or None
            )
            answer(found, f"the registry is at {place.link}\nCtrl-C ends it", as_json)
            if not no_open and not as_json and _has_desktop():
                _open(place.link)

        serve(place, ready)
    except KeyboardInterrupt:
        # The way in which it is meant to end.
        pass
    finally:
        place.socket.close()
    return 0


def _check_components() -> None:
    """Raises MissingComponent where the extra is not installed."""
    import importlib.util

    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingComponent(f"`speciate registry browse` needs {' and '.join(missing)}: {INSTALL}")


def _has_desktop() -> bool:
    """Whether somebody sits before this terminal and a window."""
    if not sys.stdout.isatty() or os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(link: str) -> None:
    import threading
    import webbrowser

    # Some browsers return when they are closed.
    threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
