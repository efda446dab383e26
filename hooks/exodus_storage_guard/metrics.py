"""Read the metrics that a server gives to Prometheus, in its text format 0.0.4: those that are asked for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

Labels = tuple[tuple[str, str], ...]
ALLOWED = 'a metric\'s name, or name{label="value"}'
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_OPENED = re.compile(r"[ \t]*\{")
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*(,|(?=\}))')
_CLOSED = re.compile(r"[ \t]*\}")
_ESCAPED = re.compile(r'\\([\\"n])')
_VALUE = re.compile(r"[ \t]+([0-9.eE+-]{1,64})(?:[ \t]+(-?[0-9]{1,18}))?[ \t\r]*")


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold one value of a metric; `at_milliseconds` is when it was taken, where the server says so."""

    labels: Labels
    value: float
    at_milliseconds: int | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """Say which samples are meant: those of a metric that have these labels, whatever others they have."""

    name: str
    labels: Labels = ()

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Read a selector as Prometheus has it, but for its other operators; raise `ValueError` where it is none."""
        found = _NAME.match(text)
        try:
            labels, end = _labels(text, found.end()) if found else ((), 0)
        except ValueError:
            found, labels, end = None, (), 0
        if found is None or text[end:]:
            raise ValueError(f"found {text[:100]!r}; allowed: {ALLOWED}")
        return cls(found[0], labels)

    def __str__(self) -> str:
        """Write it as it is read."""
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.labels)
        return f"{self.name}{{{labels}}}" if labels else self.name

    def samples(self, page: str) -> list[Sample]:
        """Give what a page has of them; raise `ValueError` where one cannot be read, or is there twice.

        To pass over what cannot be read would make a sum too small, and nobody would know.
        """
        wanted = set(self.labels)
        found = [one for one in _of_metric(self.name, page) if wanted <= set(one.labels)]
        if len({one.labels for one in found}) < len(found):
            raise ValueError(f"{self} has two samples with the same labels")
        return found


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _of_metric(name: str, page: str) -> Iterator[Sample]:
    for line in re.finditer(rf"^[ \t]*{re.escape(name)}(?![a-zA-Z0-9_:])([^\n]*)$", page, re.MULTILINE):
        try:
            yield _sample(line[1])
        except ValueError:
            raise ValueError(f"a sample cannot be read: {line[0][:100]!r}") from None


def _sample(text: str) -> Sample:
    labels, end = _labels(text, 0)
    found = _VALUE.fullmatch(text, end)
    if found is None:  # NaN and Inf as well: neither is a size
        raise ValueError("no value")
    return Sample(tuple(sorted(labels)), float(found[1]), None if found[2] is None else int(found[2]))


def _labels(text: str, at: int) -> tuple[Labels, int]:
    """Read labels in braces, if there are any here; say where they end."""
    start = _OPENED.match(text, at)
    if start is None:
        return (), at
    labels, at, goes_on = {}, start.end(), True
    while goes_on and (one := _LABEL.match(text, at)):
        if one[1] in labels:
            raise ValueError(f"label {one[1]} is there twice")
        labels[one[1]] = _ESCAPED.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], one[2])
        at, goes_on = one.end(), one[3] == ","
    end = _CLOSED.match(text, at)
    if end is None:
        raise ValueError("the labels do not end")
    return tuple(labels.items()), end.end()
