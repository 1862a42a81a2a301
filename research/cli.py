"""``python -m research.cli``: answers ``--help`` at once, and loads the rest for the command that was asked for."""

import sys

HELP = """usage: python -m research.cli COMMAND [options]

Hybrid fine-tuning of language models: unsupervised, supervised and distillation objectives in one training flow.

commands:
  init       look at your labelled file and your texts, and write a commented config that trains on them
  fit        train a student on a mixture of corpora and tasks
  validate   measure a checkpoint on the validation splits
  test       measure a checkpoint on the test splits
  predict    answer texts: labels, probabilities, embeddings, similarities or texts, as JSON lines or Parquet
  serve      the same over HTTP, with a page to try a model on
  calibrate  true probabilities, thresholds, abstaining and a scope for a classifier, from its validation split
  explain    which words, layers and training examples an answer hangs on, as JSON lines and a page
  compress   a smaller and faster folder of a student: fewer layers, heads, words and bits, and what it keeps
  report     compare runs, finished or not: a table, what looks wrong, and a page of plots
  ablate     run a grid of configs and seeds, and compare them: tables, tests and plots
  errors     where runs err: confusions, slices, doubtful labels, and what one gets right and another not
  plan       memory by strategy, time, cost and bandwidths that a run would need, without its data, weights or devices
  average    one model from the weights of several checkpoints, or of one and of where it began
  export     a checkpoint's student for Transformers, Sentence Transformers, ONNX Runtime, torch.export or llama.cpp
  checkpoint consolidate: one file from a checkpoint in shards
  data       prepare: clean a corpus at scale; inspect: look at the streams of a run before it trains
  completion what makes a shell complete commands, options and keys, as a script
  teacher    cache: write what a run's teacher answers; label, generate, write: texts of a model on a server

Each command has its own --help. A run is a YAML file; several --config files compose, and every key can be set on
the command line:

  python -m research.cli fit --config configs/quickstart.yaml --model.optimisation.lr 1e-4
  python -m research.cli fit --config configs/quickstart.yaml --ckpt_path last      (goes on where a run stopped)
  python -m research.cli test --config configs/quickstart.yaml --ckpt_path last --json      (or --quiet)
  python -m research.cli predict --ckpt runs/quickstart --input texts.txt --output answers.jsonl
  python -m research.cli export --ckpt runs/quickstart --format transformers --output students/quickstart
"""
TRAINING = ("fit", "validate", "test", "predict")
USING = ("serve", "calibrate", "explain", "compress", "export")
COMMANDS = (
    "init",
    *TRAINING,
    *USING,
    "report",
    "ablate",
    "errors",
    "plan",
    "average",
    "checkpoint",
    "data",
    "teacher",
    "completion",
)
CHECKPOINT_HELP = """usage: python -m research.cli checkpoint {consolidate} [options]

commands:
  consolidate  make one checkpoint file of a folder of shards, as FSDP with state_dict_type: sharded writes it

It has its own --help:

  python -m research.cli checkpoint consolidate runs/large/checkpoints/last.ckpt --output large.ckpt
"""
DATA_HELP = """usage: python -m research.cli data {prepare,inspect} [options]

commands:
  prepare    clean raw text: filters, deduplication, decontamination and masked personal data, with a report
  inspect    show the streams of a training config: sizes, lengths, labels, batches and the mixture over time

Each has its own --help:

  python -m research.cli data prepare --config configs/data/prepare.yaml
  python -m research.cli data inspect --config configs/quickstart.yaml
"""
TEACHER_HELP = """usage: python -m research.cli teacher {cache,label,generate,write} [options]

commands:
  cache      write what a training config's teacher answers, so that its fit needs no teacher forward
  label      label the texts of a source by a model on an OpenAI-compatible server
  generate   have it write training texts, after a prompt and a few examples
  write      have it write a target for each text of a source

Each has its own --help, and --estimate true says what the last three cost at most:

  python -m research.cli teacher cache --config configs/quickstart.yaml --path caches/minilm
  python -m research.cli teacher label --config configs/teacher/label.yaml
  python -m research.cli teacher generate --config configs/teacher/generate.yaml
"""
GROUPS = {"checkpoint": CHECKPOINT_HELP, "data": DATA_HELP, "teacher": TEACHER_HELP}


def main() -> None:
    """Run one command; exits 0 if it was done, 2 on bad input, 1 on a fault, and 128 + n when signal n stopped it."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if arguments[0] not in COMMANDS:
        print(f"error: no command '{arguments[0]}'; there are {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    if arguments[0] in GROUPS and arguments[1:2] in ([], ["-h"], ["--help"]):
        print(GROUPS[arguments[0]], end="")
        return
    from research.terminal import run_command

    sys.exit(run_command(arguments))


if __name__ == "__main__":
    main()
