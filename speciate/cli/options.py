"""What several commands share."""

import difflib
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from speciate.progress import Progress


class Group(click.Group):
    """A group of commands that says which one was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")


def progress_shown() -> "Progress":
    """How far a command is, on stderr."""
    from speciate.progress import progress_on

    return progress_on(sys.stderr)
