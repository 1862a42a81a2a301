"""``data inspect``: what a training config would feed to its student, before anything is trained."""

USAGE = """usage: python -m research.cli data inspect --config FILE [--config FILE ...] [--out FOLDER] [--KEY VALUE ...]

Shows the streams of a training config: sizes, lengths, labels, batches with their masks, the mixture over time, and
what looks wrong. Takes the files and keys that fit takes; loads the tokenizer, and no weights.

  --out FOLDER   where inspect.md, lengths.png and mixture.png are written (default: runs/NAME-inspect)
"""


def main(arguments: list[str]) -> int:
    """Inspect the config that the command line describes; returns the exit status.

    Raises:
        UserError: for a config that ``fit`` would refuse before its first step.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    from research.data.inspect.command import Inspection

    Inspection(arguments)
    return 0
