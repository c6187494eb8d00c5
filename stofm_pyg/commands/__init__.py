r"""The commands of the command line, one file each: a docstring that says what it does, of which the
first paragraph is the summary, ``EXAMPLE``, ``add_arguments(parser)``, and ``run(args)``, which returns
the exit status."""

from stofm_pyg.commands import (
    adapt,
    convert,
    corpus,
    domains,
    embed,
    finetune,
    fit,
    inspect,
    plot,
    predict,
    pretrain,
)

COMMANDS = {
    "inspect": inspect,
    "convert": convert,
    "fit": fit,
    "embed": embed,
    "domains": domains,
    "finetune": finetune,
    "predict": predict,
    "plot": plot,
    "adapt": adapt,
    "corpus": corpus,
    "pretrain": pretrain,
}
