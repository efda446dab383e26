"""What the README and the pages in docs/ have one type, in its order, and have one write into files before."""

import re

from tests.parts.command import ROOT

_BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r"(#+) (.*)")
_FILE = re.compile(r"# (/etc/\S+)\n")


def page(name: str) -> str:
    """Give a page's text; its name is its path in the checkout."""
    return (ROOT / name).read_text()


def titles(text: str) -> list[tuple[int, int, str]]:
    """Give the titles of a text: in which line each stands, its level, and what it says."""
    outside = _FENCED.sub(lambda found: "\n" * found[0].count("\n"), text).splitlines()
    found = [(number, _TITLE.fullmatch(line)) for number, line in enumerate(outside)]
    return [(number, len(title[1]), title[2]) for number, title in found if title]


def section(text: str, title: str) -> str:
    """Give a section with what is below it: from its title to the next one that is no lower."""
    there = titles(text)
    begin, level = next((number, level) for number, level, said in there if said == title)
    ends = [number for number, other, _ in there if number > begin and other <= level]
    return "\n".join(text.splitlines()[begin + 1 : min(ends, default=None)]) + "\n"


def files(text: str) -> list[tuple[str, str]]:
    """Give the files that a text shows whole: each one's path, and what is in it."""
    shown = [(_FILE.match(block), block) for kind, block in _BLOCK.findall(text) if kind == "toml"]
    return [(found[1], block) for found, block in shown if found]


def typed(text: str, named: dict[str, str]) -> list[str]:
    """Give the scripts that type what a text has one type, with names for its placeholders, and write what it shows."""
    scripts = []
    for kind, block in _BLOCK.findall(text):
        if kind == "sh":
            scripts.append(re.sub("|".join(rf"\b{name}\b" for name in named), lambda word: named[word[0]], block))
        elif file := _FILE.match(block):
            scripts.append(f"cat > {file[1]} <<'EOF'\n{block}EOF\n")
    return scripts


def placeholders(scripts: list[str]) -> list[str]:
    """Give the scripts in which a word in capitals is left that nobody gave a name for."""
    return [one for one in scripts if re.search(r"\b[A-Z]{4,}\b", re.sub(r"#.*|EOF|'.*?'", "", one))]
