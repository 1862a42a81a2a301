"""The dialogue in the terminal."""

import sys
from typing import Any

from research.applications.customer_service.desk import desk
from research.applications.customer_service.splits import spoken

LEAVE = ("", "quit", "exit", "bye")


def chat(seed: int) -> int:
    """Reply to lines of standard input until one is empty, or there are no more."""
    talking = desk(seed)
    shown = "you> " if sys.stdin.isatty() else ""
    print(f"I know {len(talking.entries)} questions about a bank account. An empty line ends our talk.")
    while True:
        try:
            message = input(shown).strip()
        except (EOFError, UnicodeDecodeError):
            break
        if message.lower() in LEAVE:
            break
        print(replied(*talking.replies([message])))
    print("Goodbye.")
    return 0


def replied(reply: dict[str, Any]) -> str:
    """The lines that a customer sees."""
    lines = [f"desk> {reply['text']}", *(f"      - {question}" for question in reply.get("closest", []))]
    if "entry" in reply:
        lines.append(f"      ({reply['entry']} similarity {reply['similarity']:.2f})")
    understood = "out of scope" if not reply["in_scope"] else spoken(reply["intent"]) if reply["intent"] else "not sure"
    return "\n".join([*lines, f"      [{understood}; confidence {reply['confidence']:.0%}]"])
