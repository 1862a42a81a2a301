"""``python -m research.cli``: answers ``--help`` at once, and loads the rest for the command that was asked for."""

import sys

HELP = """usage: python -m research.cli COMMAND [options]

Hybrid fine-tuning of language models: unsupervised, supervised and distillation objectives in one training flow.

commands:
  fit        train a student on a mixture of corpora and tasks
  validate   measure a checkpoint on the validation splits
  test       measure a checkpoint on the test splits
  predict    write labels or embeddings of the test splits as JSON lines
  report     compare finished runs: a table, and a plot of their losses

Each command has its own --help. A run is a YAML file; several --config files compose, and every key can be set on
the command line:

  python -m research.cli fit --config configs/quickstart.yaml --model.optimisation.lr 1e-4
  python -m research.cli fit --config configs/quickstart.yaml --ckpt_path last      (goes on where a run stopped)
  python -m research.cli test --config configs/quickstart.yaml --ckpt_path last
"""
TRAINING = ("fit", "validate", "test", "predict")


def main() -> None:
    """Run one command; exits 0 if it was done, 2 on bad input, 1 on a fault, and 128 + n when signal n stopped it."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if arguments[0] not in (*TRAINING, "report"):
        print(f"error: no command '{arguments[0]}'; there are {', '.join((*TRAINING, 'report'))}", file=sys.stderr)
        sys.exit(2)
    from research.terminal import run_command

    sys.exit(run_command(arguments))


if __name__ == "__main__":
    main()
