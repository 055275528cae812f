"""A configuration before it is understood: plain values, where each came from, and the faults found so far."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from exporter.errors import ConfigError, ConfigProblem

Keys = tuple[str | int, ...]
"""The way from the top to a value: names of keys and positions in lists."""

MAX_BYTES = 512 * 1024
MAX_DEPTH = 20
MAX_VALUES = 50_000
"""Bounds of a file: within them it is read in about two seconds, whatever it holds. Keys count as values."""

MAX_MESSAGE = 500
"""Characters of a fault that are kept: some quote what they are about."""

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_PLAIN_TAGS = {
    _TAG + name for name in ("bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp", "value")
}


SENTENCES = {
    "bool_parsing": "must be true or false",
    "dict_type": "must hold keys and values",
    "int_parsing": "must be a whole number",
    "model_type": "must hold keys and values",
    "string_type": "must be text",
    "tuple_type": "must be a list, such as [a, b]",
}
"""What is said of a fault, by pydantic's name for it."""

Stamps = dict[Path, tuple[int, int, int] | None]
"""What distinguishes a file from a newer one in its place, None where there is none."""


class Section(BaseModel):
    """A part of a configuration: frozen, and without unknown keys. A key without a value counts as left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}


class Origin(NamedTuple):
    """Where a value was written: a file with its line, an environment variable or a flag.

    Relative paths in a value begin at `folder`.
    """

    name: str
    line: int = 0
    folder: Path = Path()


class Document:
    """Hold values and their origins, and collect faults at those places."""

    def __init__(self, origin: Origin) -> None:
        self.data: dict[str, Any] = {}
        self.faults: list[ConfigProblem] = []
        self.warnings: list[ConfigProblem] = []
        self.files: list[Path] = []  # from which values were read, besides the document itself
        self._origins: dict[Keys, Origin] = {(): origin}

    def origin(self, keys: Keys) -> Origin:
        """Return the origin of a value, or of the nearest thing around it where there is no such value."""
        while keys not in self._origins:
            keys = keys[:-1]
        return self._origins[keys]

    def came_from(self, keys: Keys, origin: Origin) -> None:
        """Note where a value was written, or would have to be."""
        self._origins[keys] = origin

    def at(self, keys: Keys) -> Any:
        """Return the value at these keys, None where there is none."""
        value: Any = self.data
        try:
            for key in keys:
                value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
        return value

    def put(self, keys: Keys, value: Any, origin: Origin) -> None:
        """Set a value, over any that is there; where something else than a mapping is in the way, leave it at that."""
        holder: Any = self.data
        for key in keys[:-1]:
            if isinstance(holder, dict) and holder.get(key) is None:
                holder[key] = {}
            holder = holder[key]
        if isinstance(holder, dict):
            holder[keys[-1]] = value
            self._origins = {way: old for way, old in self._origins.items() if way[: len(keys)] != keys}
            self.came_from(keys, origin)

    def fault(self, keys: Keys, message: str) -> None:
        """Note a fault of the value at these keys."""
        self.faults.append(self._at(keys, message))

    def warn(self, keys: Keys, message: str) -> None:
        """Note that the value at these keys is accepted, and probably not meant."""
        self.warnings.append(self._at(keys, message))

    def _at(self, keys: Keys, message: str) -> ConfigProblem:
        name, line, _ = self.origin(keys)
        message = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}..."
        way = "".join(f"[{key}]" if isinstance(key, int) else f".{_shown_key(key)}" for key in keys)
        return ConfigProblem(f"{name}:{line}: {way.removeprefix('.')}" if line else name, message)


def reading_order(fault: ConfigProblem) -> list[str]:
    """Return a key that sorts faults by file and line."""
    # Filled up rather than made numbers of: Python refuses to for those of thousands of digits.
    return [part.zfill(9) if part.isdecimal() else part for part in re.split(r"(\d+)", str(fault))]


def stamps(files: Iterable[Path]) -> Stamps:
    """Return the stamp of each file; a link is followed, as Kubernetes replaces mounted files by moving one."""
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def read(path: Path) -> Document:
    """Read a YAML file: all scalars as text, size and depth bounded; duplicate keys and tags become faults.

    Raises ConfigError for a file that cannot be read as a whole.
    """
    document = Document(Origin(str(path), 0, path.parent))
    fault = _fill(document, path)
    if fault:  # raised here, where no error of the parser with its snippet of the file can hang on it
        raise ConfigError([fault])
    return document


def _fill(document: Document, path: Path) -> ConfigProblem | None:
    line = 0
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            return ConfigProblem(str(path), f"is larger than {MAX_BYTES // 1024} KiB")
        text = data.decode("utf-8-sig")
        _Reader(document, path, text).read()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        message = "is not UTF-8 text"
    except RecursionError:
        message = "is nested too deeply"
    except _TooManyError:
        message = f"holds more than {MAX_VALUES} values"
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        message = _syntax(error)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = "holds a control character"
    else:
        return None
    return ConfigProblem(f"{path}:{line}" if line else str(path), message)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    # A quoted word in the parser's message may be part of a secret that was written without quotes; its name for a
    # token, as <scalar>, is not, nor is a single character.
    problem = re.sub(r" '(?!<|\\t')[^']{2,}'", "", error.problem or "")
    hint = ": put quotes around a value that begins with * or &" if "alias" in f"{error.context} {problem}" else ""
    if "block end" in problem:
        hint = ": check the indentation"
    if "'\\t'" in problem:
        hint = ": use spaces"
    return f"is not YAML: {' '.join(problem.split())}{hint}"


def shown(text: str) -> str:
    """Quote a value for a message: on one line, harmless to a terminal, and not all of it where it is long."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")  # noqa: PLR2004 - half a line


def _shown_key(key: str) -> str:
    return key if key.isprintable() and len(key) <= 60 else shown(key)  # noqa: PLR2004 - half a line


class _TooManyError(Exception):
    """Say that there are more values than anybody means to write."""


class _Reader(yaml.SafeLoader):
    """Compose nodes and turn them into plain values, and give up as soon as they are too many or too deep.

    Nodes that an alias repeats are read again, and count again.
    """

    def __init__(self, document: Document, path: Path, text: str) -> None:
        super().__init__(text)
        self._document = document
        self._path = path
        self._depth = self._count = 0

    def read(self) -> None:
        node = self.get_single_node()
        self._count = 0
        value = None if node is None else self._value(node, ())
        if isinstance(value, dict):
            self._document.data = value
        elif value is not None:
            self._document.fault((), "must hold keys and values")

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._check(self._depth)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _check(self, depth: int) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _TooManyError
        if depth > MAX_DEPTH:
            raise RecursionError

    def _value(self, node: yaml.Node, keys: Keys) -> Any:
        self._check(len(keys))
        if node.tag not in _PLAIN_TAGS:
            self._document.fault(keys, "has a tag, a word that begins with !, and none is understood: remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self._at(item, item, (*keys, index)) for index, item in enumerate(node.value)]
        return None if node.tag == f"{_TAG}null" else node.value

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for _, source in (pair for pair in node.value if pair[0].tag == _MERGE):
            for mapping in reversed(source.value) if isinstance(source, yaml.SequenceNode) else [source]:
                merged = self._value(mapping, keys)
                if isinstance(merged, dict):
                    values.update(merged)
                else:
                    self._document.fault(keys, "<< must be followed by a mapping, as *name")
        for key, value in (pair for pair in node.value if pair[0].tag != _MERGE):
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._document.fault(keys, "a key must be plain text")
                continue
            name = str(key.value)
            if name in lines:
                self._document.fault((*keys, name), f"line {line} says it again: keep one of the two")
                continue
            lines[name] = line
            values[name] = self._at(key, value, (*keys, name))
        return values

    def _at(self, place: yaml.Node, node: yaml.Node, keys: Keys) -> Any:
        self._document.came_from(keys, Origin(str(self._path), place.start_mark.line + 1, self._path.parent))
        return self._value(node, keys)
