"""Reads the configuration files of Hadoop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat

from ..files import read_small
from .ask import NoAnswer

_MAX_DEPTH = 20
"""How often a value may refer to another one, as in `Configuration.substituteVars`."""

_VARIABLE = re.compile(r"\$\{([^${}\s]+)\}")


class HadoopConf:
    """The properties of a directory of Hadoop's configuration.

    Args:
        properties: as the files have them, references not yet replaced.

    """

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._properties = properties

    def get(self, name: str) -> str | None:
        """Give a value with its references to other properties replaced; `None` without one."""
        value = self._properties.get(name)
        for _ in range(_MAX_DEPTH):
            if value is None or _VARIABLE.search(value) is None:
                break
            # References to the environment would tell the network what stands in it.
            value = _VARIABLE.sub(lambda found: self._properties.get(found[1], ""), value)
        return value.strip() if value else None


def read_hadoop_conf(directory: str, *names: str) -> HadoopConf:
    """Read files of a Hadoop configuration; later ones win, and those that are not there count not.

    Raises:
        NoAnswer: when one of them cannot be read.

    """
    properties: dict[str, str] = {}
    for name in names:
        path = Path(directory, name)
        try:
            properties.update(_properties(read_small(path)))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, expat.ExpatError):
            raise NoAnswer(f"{path} is not a readable configuration file of Hadoop.") from None
    return HadoopConf(properties)


def _properties(content: bytes) -> dict[str, str]:
    """Read `<property><name>…</name><value>…</value></property>`.

    Raises:
        ValueError: for a document type, by which entities could be nested without end.
        ExpatError: when it is not XML.
        LookupError: when it has an encoding that nobody knows.

    """
    found: dict[str, str] = {}
    texts: dict[str, str] = {}
    path: list[str] = []

    def start(tag: str, _: object) -> None:
        path.append(tag)
        if tag == "property":
            texts.clear()

    def end(tag: str) -> None:
        path.pop()
        if tag == "property" and "name" in texts:
            found[texts["name"].strip()] = texts.get("value", "")

    def data(text: str) -> None:
        if len(path) > 1 and path[-2] == "property":
            texts[path[-1]] = texts.get(path[-1], "") + text

    def refuse(*_: object) -> None:
        raise ValueError("a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(content, True)
    return found
