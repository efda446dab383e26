"""Decide which server of a listener nginx gives a name to.

The rules are those of ngx_http_server_names() in nginx's src/http/ngx_http.c, ngx_hash_add_key() and
ngx_hash_find_combined() in src/core/ngx_hash.c, and ngx_http_find_virtual_server() in src/http/ngx_http_request.c.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Fits = Callable[[str, str], bool | None]
"""Tell whether a name fits a regular expression; None where that cannot be known."""


@dataclass(slots=True)
class Names:
    """Hold the names of one listener; servers are told apart by their number, and `default` gets what nobody has."""

    default: int
    fits: Fits
    _taken: set[str] = field(default_factory=set)
    _exact: dict[str, int] = field(default_factory=dict)
    _below: dict[str, int] = field(default_factory=dict)
    _itself: set[str] = field(default_factory=set)
    _begun: dict[str, int] = field(default_factory=dict)
    _expressions: list[tuple[str, int]] = field(default_factory=list)

    @classmethod
    def of(cls, servers: Iterable[Iterable[str]], default: int, fits: Fits) -> "Names":
        """Add the words of all `server_name` in nginx's order."""
        names = cls(default, fits)
        for number, words in enumerate(servers):
            for word in words:
                names._add(word, number)
        return names

    def _add(self, written: str, server: int) -> None:
        """Add one word, whole or not at all: a second one is "conflicting server name, ignored"."""
        word = written.lower()
        if written.startswith("~"):
            self._expressions.append((written[1:], server))
        elif word.startswith(".") and len(word) > 1:
            if word[1:] not in self._taken:
                # Taken even where the word is then dropped for an earlier "*.": nobody else gets that name any more.
                self._taken.add(word[1:])
                if self._add_below(word[1:], server):
                    self._itself.add(word[1:])
        elif word.startswith("*.") and len(word) > 2:
            self._add_below(word[2:], server)
        elif word.endswith(".*") and len(word) > 2:
            self._begun.setdefault(word[:-2], server)
        elif word not in self._taken:
            self._taken.add(word)
            self._exact[word] = server

    def _add_below(self, name: str, server: int) -> bool:
        is_new = name not in self._below
        self._below.setdefault(name, server)
        return is_new

    def owner(self, name: str) -> int | None:
        """Give the server that a client gets who asks for a name; None where that cannot be known."""
        if name in self._exact:
            return self._exact[name]
        labels = name.split(".")
        for at in range(len(labels)):
            parent = ".".join(labels[at:])
            if parent in self._below and (at > 0 or parent in self._itself):
                return self._below[parent]
        for at in range(len(labels) - 1, 0, -1):
            if (beginning := ".".join(labels[:at])) in self._begun:
                return self._begun[beginning]
        return self._by_expression(name)

    def _by_expression(self, name: str) -> int | None:
        for expression, server in self._expressions:
            fits = self.fits(expression, name)
            if fits is not False:
                return server if fits else None
        return self.default
