"""A bad config in one line: file and line, key, what is wrong, and the nearest word that would be right."""

import importlib
import inspect
import pydoc
import re
from argparse import SUPPRESS, ArgumentError, ArgumentParser
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from research.arguments import SHOW, Shown, nearest, refused
from research.config_settings import Setting, settings_of
from research.errors import UserError

KEY = re.compile(r'Parser key "(.+?)"')
CLASS = re.compile(r"Problem with given class_path '(.+)':")
UNION = "Does not validate against any of the Union subtypes"
UNKNOWN = re.compile(r"Option '(.+)' is not accepted|(?:Group|Subcommand) '.+' does not accept option '(.+)'")
WITHOUT_CLASS = re.compile(
    r"Expected an instantiatable class, but (.+) is abstract|Not a valid subclass of (\w+)\. Got value: (?:\{|None)"
)
VALUE = re.compile(r"(?:Got value|Given value|import path string): (.*)|Import path (\S+)")
EXTRAS = {"optuna": "ablation", "torchjd": "torchjd"}  # libraries whose classes a config names, and what installs them
NOISE = re.compile(
    r"Subclass types expect one of|- a (class path|dict)|Subtypes:|Errors:|Given value|(- )?Expected a path but"
)


class Refused(BaseException):
    """Takes a constructor's UserError past jsonargparse, which on an Exception tries other types."""

    def __init__(self, error: UserError, built: type, settings: Mapping[str, Any]) -> None:
        super().__init__(str(error))
        self.built, self.settings = built, settings


def build(class_type: type, *args: Any, **kwargs: Any) -> Any:
    """The instantiator for jsonargparse: what a constructor refuses is raised as :class:`Refused`."""
    try:
        return class_type(*args, **kwargs)
    except UserError as error:
        raise Refused(error, class_type, kwargs) from error
    except (ImportError, ValueError) as error:
        if class_type.__module__.startswith("research."):
            raise
        raise Refused(UserError(str(error).splitlines()[0]), class_type, kwargs) from error


def refusal(refused: Refused, config: Mapping[str, Any]) -> UserError:
    """What a constructor refused, preceded by the key under which ``config`` asks for the object."""
    message = str(refused)
    key = next(_asking(config, refused, ""), None)
    named = re.match(r"[a-z_]+(?:\.\w+)*", message)
    if key is None or named is None or named[0].startswith(key):
        return UserError(message)
    if key.startswith(f"{named[0]}."):  # the object knows its room, though not its name there
        return UserError(key + message[named.end() :])
    return UserError(message if named[0].split(".")[0] in config else f"{key}: {message}")


@contextmanager
def parsing(arguments: list[str], parser: ArgumentParser) -> Iterator[None]:
    """While jsonargparse reads the ``arguments`` of a command by its ``parser``, it refuses them in one line.

    Raises:
        UserError: naming file, line and key, where they are known.
    """
    if arguments[-1] == SHOW:
        raise Shown(parser)
    deque(settings_of(arguments), maxlen=0)
    try:
        yield
    except (ArgumentError, UnicodeDecodeError) as error:
        known = [a.dest for a in parser._actions if a.help != SUPPRESS and not a.dest.endswith("help")]
        raise parse_error(str(error), arguments, known) from error


def parse_error(message: str, arguments: list[str], options: Iterable[str]) -> UserError:
    """What jsonargparse says of the ``arguments`` of a command that knows ``options``, as one line.

    jsonargparse nests its reasons and leaves out the names of streams and objectives; the key is therefore
    looked up in what was written.
    """
    *around, reason = nested(message)
    if told := refused(reason, options):
        return told
    try:
        written = list(settings_of(arguments))
    except UserError as error:
        return error
    parts = [match[1] for line in around if (match := KEY.match(line))]
    classes = [match[1] for line in around if (match := CLASS.match(line))]
    if match := UNKNOWN.match(reason):
        parts.append(match[1] or match[2])
        known = parameters(classes[-1]) if classes else options
        return _told(_find(written, parts, classes), parts, f"not accepted{nearest(parts[-1], known)}")
    if match := re.match(r"the following arguments are required: (.+)", reason):
        missing = match[1].replace(f"{arguments[0]}.", "")
        if not classes:
            return UserError(f"missing in the config: {missing}")
        return _told(_lacking(written, classes[-1], missing), parts, f"{_name(classes[-1])} needs {missing}")
    if around and (match := CLASS.match(around[-1])):
        return _told(_find(written, parts, classes[:-1], match[1]), parts, _about_class(match[1], reason))
    if match := WITHOUT_CLASS.match(reason):
        return _told(_classless(written, parts), parts, f"needs the class_path of its {_name(match[1] or match[2])}")
    match = VALUE.search(f"{reason}\n{message}")
    value = (match[1] or match[2]) if match else None
    types = re.findall(r"Subtypes: \[(.+)\]", message) if around and around[-1] == UNION else []
    return _told(_find(written, parts, classes, value), parts, _about_value(reason, types, value))


def nested(message: str) -> list[str]:
    """The most deeply indented line of a message, after the lines that it is nested in."""
    lines = [line for line in message.splitlines() if line.strip(" -") and not NOISE.match(line.strip())]
    indents = [len(line) - len(line.lstrip(" -")) for line in lines]
    found, depth = list[str](), max(indents, default=0) + 1
    innermost = indents.index(depth - 1) if indents else -1
    for i in range(innermost, -1, -1):
        if indents[i] < depth:
            found, depth = [lines[i].strip(" -"), *found], indents[i]
    return found or [message]


def parameters(class_path: str) -> list[str]:
    """The settings that a class takes."""
    located: Any = pydoc.locate(class_path)
    return list(inspect.signature(located).parameters) if inspect.isclass(located) else []


def _find(written: list[Setting], parts: list[str], classes: list[str], value: str | None = None) -> Setting | None:
    """The last setting whose key holds all ``parts``, if possible of an owner of the innermost class.

    A setting at or below that key whose value is the one that a message quotes is taken first.
    """
    if not parts:
        return None
    key = re.compile(_pattern(parts) + r"(?P<below>[.\[].*)?")
    found = [(setting, match["below"]) for setting in written if (match := key.fullmatch(setting.key))]
    candidates = [s for s, _ in found if s.value == value] or [s for s, below in found if not below]
    if classes:
        named = {s.key.removesuffix(".class_path") for s in written if _name(s.value) == _name(classes[-1])}
        candidates = [s for s in candidates if any(s.key.startswith(f"{k}.") for k in named)] or candidates
    return candidates[-1] if candidates else None


def _classless(written: list[Setting], parts: list[str]) -> Setting | None:
    """An object in the mapping or list under the key, or else the one that is the key's value, without a class."""
    key = _pattern(parts)
    inside = re.compile(rf"({key}(?:\.(?!init_args\b)[\w-]+|\[\d+\]))\..+")
    classes = {setting.key.removesuffix(".class_path") for setting in written if setting.value}
    for setting in written:
        if (match := inside.fullmatch(setting.key)) and match[1] not in classes:
            return Setting(match[1], "", setting.where)
    return _find(written, parts, [])


def _lacking(written: list[Setting], class_path: str, missing: str) -> Setting | None:
    """Where an object of the class is asked for without its setting ``missing``."""
    keys = {setting.key for setting in written}
    for setting in written:
        key = setting.key.removesuffix(".class_path")
        complete = keys & {f"{key}.{missing}", f"{key}.init_args.{missing}"}
        if _name(setting.value) == _name(class_path) and not complete:
            return Setting(key, setting.value, setting.where)
    return None


def _told(setting: Setting | None, parts: list[str], reason: str) -> UserError:
    key = f"{setting.where}{setting.key}" if setting else ".".join(parts)
    return UserError(f"{key}: {reason}" if key else reason)


def _about_class(class_path: str, reason: str) -> str:
    module, _, name = class_path.rpartition(".")
    if "has no attribute" not in reason:
        return _plain(reason)
    found = importlib.import_module(module)
    public = getattr(found, "__all__", None) or [word for word in vars(found) if word[0].isupper()]
    return f"{module} has no {name}{nearest(name, public)}"


def _about_value(reason: str, types: list[str], value: str | None) -> str:
    """A wrong type as "must be float, not 'x'", where each of a union's ``types`` was tried."""
    if "import path string" in reason:
        return f"'{value}' is no class; write its full path, such as research.objectives.MaskedLM"
    expected = re.match(r"Expected an? (.+?)(?:\. Got value: .*)?$", reason)
    if not expected:
        return _plain(reason)
    one = "one of " if "Literal" in expected[1] else ""
    accepted = _plain(types[-1]).replace(", ", " or ") if types else one + _plain(expected[1])
    as_list = f"; write [{value}]" if accepted == "list" and value and value.isprintable() and "{" not in value else ""
    return f"must be {accepted}, not {value!r}{as_list}"


def _plain(text: str) -> str:
    if (match := re.match(r"No module named '(\w+)", text)) and match[1] in EXTRAS:
        return f"{text}; it needs the extra: pip install 'hybrid-fine-tuning[{EXTRAS[match[1]]}]'"
    text = re.sub(r"<class '(?:[\w.]+\.)?(\w+)'>", r"\1", text).replace("NoneType", "null")
    return re.sub(r"(?:typing\.)?Literal\[(.+?)\]", r"\1", text)


def _pattern(parts: list[str]) -> str:
    """A regular expression for keys that hold all parts in their order."""
    return r"(?:[.\[][\w-]+\]?)*\.".join(map(re.escape, parts))


def _name(class_path: str) -> str:
    return class_path.rpartition(".")[2]


def _asking(config: Any, refused: Refused, key: str) -> Iterator[str]:
    """Keys of the parts of a config that describe the object which was refused."""
    if isinstance(config, Mapping):
        settings = config.get("init_args") or {} if "class_path" in config else config
        name = _name(str(config.get("class_path", refused.built.__name__)))
        if name == refused.built.__name__ and set(settings) == set(refused.settings):
            plain = {k: v for k, v in refused.settings.items() if isinstance(v, str | int | float)}
            if all(settings[k] == v for k, v in plain.items()):
                yield key
        for name, value in config.items():
            yield from _asking(value, refused, f"{key}.{name}" if key else str(name))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            yield from _asking(value, refused, f"{key}[{i}]")
