"""`tiger-fg train`: train one of the methods; the flags are those of its training recipe."""

from importlib import import_module

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Train a model. `tiger-fg train METHOD --help` lists the flags of a method. On several GPUs, run "
    "`accelerate launch -m tiger_fg_hf.training.recipes.METHOD.run` with the same flags.",
)
# The recipe parses its own flags, `--help` included.
_RECIPE_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command("tiger-fg", context_settings=_RECIPE_FLAGS, add_help_option=False)
def tiger_fg(context: typer.Context) -> None:
    """Train TIGER-FG, which finds the listings of a cropped product."""
    _run("tiger_fg", context.args)


@app.command("tgq-former", context_settings=_RECIPE_FLAGS, add_help_option=False)
def tgq_former(context: typer.Context) -> None:
    """Train TGQ-Former, which finds other listings of a product."""
    _run("tgq_former", context.args)


@app.command("dual-encoder", context_settings=_RECIPE_FLAGS, add_help_option=False)
def dual_encoder(context: typer.Context) -> None:
    """Train the image-text encoder that TGQ-Former keeps frozen."""
    _run("dual_encoder", context.args)


def _run(method: str, flags: list[str]) -> None:
    import_module(f"..training.recipes.{method}.run", __package__).main(flags)
