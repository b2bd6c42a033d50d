"""`forkful completion`: prints the script that makes a shell complete forkful's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from forkful.cli import COMPLETE

_EXAMPLES = """\
Where it goes:

\b
  bash   forkful completion bash > ~/.local/share/bash-completion/completions/forkful
  zsh    forkful completion zsh > ~/.zfunc/_forkful
         with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  fish   forkful completion fish > ~/.config/fish/completions/forkful.fish

For this shell alone: eval "$(forkful completion bash)"
"""


@click.command("completion", epilog=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Bash needs version 4.4 or later. A new shell then completes commands, options and files after `forkful`.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "forkful", COMPLETE).source())
