r"""The commands of the command line, one file each: a docstring that says what it does,
``add_arguments(parser)``, and ``run(args)``, which returns the exit status."""

from stofm_pyg.commands import adapt, corpus, embed, fit, inspect, pretrain

COMMANDS = {
    "fit": fit,
    "embed": embed,
    "inspect": inspect,
    "adapt": adapt,
    "corpus": corpus,
    "pretrain": pretrain,
}
