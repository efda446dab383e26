"""Ask others whether we read nginx configuration right: crossplane, and where it departs from nginx, nginx itself."""

import http.client
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import crossplane  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exodus_certbot.nginx.config import ConfigUnreadable, Directive, flatten, parse
from tests.parts.dumps import texts_of

Tree = list[tuple[str, list[str], Any, int]]

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") or "nginx"
HAND_MADE = sorted(Path(__file__).with_name("nginx_configs").glob("*.conf"))
SHIPPED = [Path("/usr/share/nginx"), *Path("/usr/share/doc").glob("nginx*")]
AT_HAND = sorted(
    {path for path in Path("/etc/nginx").rglob("*") if path.is_file()}
    | {path for folder in SHIPPED for path in folder.rglob("*.conf") if path.is_file()}
)
NOT_AFTER_A_KEPT_BACKSLASH = "\"'\\trn\r"


def our_tree(directives: tuple[Directive, ...]) -> Tree:
    """Show our directives as crossplane shows its own: it takes the parentheses off the condition of an `if`."""
    tree: Tree = []
    for one in directives:
        shown = {"args": list(one.args)}
        if one.name == "if":
            crossplane.parser._prepare_if_args(shown)
        tree.append((one.name, shown["args"], None if one.block is None else our_tree(one.block), one.line))
    return tree


def crossplane_tree(text: str, folder: Path) -> Tree:
    """Let crossplane read a text; it raises what it found wrong."""
    path = folder / "read_by_crossplane.conf"
    path.write_bytes(text.encode())
    found = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False, catch_errors=False)
    if found["errors"]:
        raise ValueError(found["errors"][0]["error"])
    return as_nginx_means(found["config"][0]["parsed"])


def as_nginx_means(statements: list[dict[str, Any]]) -> Tree:
    """Undo the differences between crossplane 0.5.8 and nginx that can be undone.

    - crossplane leaves a backslash where it stands, except before the quote that encloses the word; nginx drops it
      before quotes and backslashes and reads `\\t \\r \\n` as control characters (see `unescaped`).
    - crossplane reports a comment within a directive as a directive named "#", even when asked for no comments.
    - crossplane takes the body of Lua for one more argument.

    Those that cannot be undone are the table CROSSPLANE_DEPARTS, about which nginx itself is asked.
    """
    tree: Tree = []
    for statement in statements:
        name, args, block = unescaped(statement["directive"]), statement["args"], statement.get("block")
        if name.endswith("_by_lua_block"):
            args, block = args[:-1], []
        if "comment" not in statement:
            means = None if block is None else as_nginx_means(block)
            tree.append((name, [unescaped(arg) for arg in args], means, statement["line"]))
    return tree


def unescaped(word: str) -> str:
    """Copy a word as the end of ngx_conf_read_token() does, one character at a time."""
    copied, characters = "", iter(word)
    for character in characters:
        following = next(characters, "") if character == "\\" else ""
        if following in ("t", "r", "n"):
            copied += {"t": "\t", "r": "\r", "n": "\n"}[following]
        else:
            copied += following if following in ('"', "'", "\\") and following else character + following
    return copied


def test_there_are_configurations_to_compare() -> None:
    assert len(AT_HAND) > 0, "install nginx: its own configuration is part of this test"
    assert len(HAND_MADE) >= 12


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("path", AT_HAND + HAND_MADE, ids=str)
def test_we_read_real_configurations_as_crossplane_does(path: Path, line_end: str, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="replace").replace("\n", line_end)
    tree = our_tree(parse(text, file="f"))
    # crossplane reads in text mode, which turns the line ends inside quotes into "\n" too.
    assert unix(tree) == crossplane_tree(text, tmp_path)
    assert tree


def unix(tree: Tree) -> Tree:
    return [
        (name, [arg.replace("\r\n", "\n") for arg in args], block and unix(block), line)
        for name, args, block, line in tree
    ]


# Generated configurations: a tree is drawn and written down in one go, so it says itself what reading it must give.

PLAIN = "abz019.:/=*~^()[]|-_,?@é☃"
ODD = st.text(st.sampled_from(PLAIN + " ;{}\"'#\\$\t\n\r"), max_size=8)
EASY = st.text(st.sampled_from(PLAIN), min_size=1, max_size=8)
WORDS = ODD | EASY | st.tuples(EASY, EASY).map("${name}x".join)
COMMENT = st.text(st.sampled_from("ab #;{}\"'\\$é"), max_size=6).map("#{}\n".format)
SPACE = st.text(st.sampled_from(" \t\n"), min_size=1, max_size=3) | st.just("\r\n")
BLANK = st.lists(SPACE | COMMENT, max_size=3).map("".join)
GAP = st.tuples(SPACE, BLANK).map("".join)


def can_be_bare(word: str) -> bool:
    """Tell whether a word can go without quotes. More words can, but crossplane departs from nginx there."""
    without_variables = re.sub(r"(?<!\\)\$\{[a-z]+\}(?=[a-z])", "v", word)
    return bool(word) and not re.search(r"[ ;{}\r\n\t]|^#|^\\|\$$", without_variables)


@st.composite
def spelled(draw: st.DrawFn, word: str) -> str:
    """Write a word in one of the ways that mean it."""
    quote = draw(st.sampled_from(["", '"', "'"] if can_be_bare(word) else ['"', "'"]))
    text, rest = "", word
    while rest:
        one, rest = rest[0], rest[1:]
        if one == "\\" and rest and rest[0] not in NOT_AFTER_A_KEPT_BACKSLASH and draw(st.booleans()):
            one, rest = one + rest[0], rest[1:]
        elif one == "\\" or one == quote or (one in "\"'" and (not quote or draw(st.booleans()))):
            one = "\\" + one
        elif one == "\r" or (one in "\t\n" and draw(st.booleans())):
            one = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}[one]
        text += one
    return quote + text + quote


def is_ordinary(name: str) -> bool:
    return name != "if" and not name.endswith("_by_lua_block")


@st.composite
def configurations(draw: st.DrawFn) -> tuple[str, Tree]:
    """Draw the text of a configuration and the tree that it means."""
    pieces: list[str] = []

    def write(strategy: st.SearchStrategy[str]) -> None:
        pieces.append(draw(strategy))

    def directives(depth: int) -> Tree:
        tree: Tree = []
        for _ in range(draw(st.integers(0, 3))):
            write(BLANK)
            line = 1 + "".join(pieces).count("\n")
            name, *args = draw(st.lists(WORDS, min_size=1, max_size=4).filter(lambda words: is_ordinary(words[0])))
            write(spelled(name))
            for arg in args:
                write(GAP)
                write(spelled(arg))
            write(st.just("") | GAP)
            if depth < 3 and draw(st.booleans()):
                pieces.append("{")
                tree.append((name, args, directives(depth + 1), line))
                pieces.append("}")
            else:
                pieces.append(";")
                tree.append((name, args, None, line))
        write(BLANK)
        return tree

    tree = directives(0)
    return "".join(pieces), tree


@settings(max_examples=400, deadline=None)
@given(configurations())
def test_we_read_generated_configurations_as_they_were_meant_and_as_crossplane_does(drawn: tuple[str, Tree]) -> None:
    text, meant = drawn
    read = our_tree(parse(text, file="f"))
    assert read == meant
    with TemporaryDirectory() as folder:
        assert read == crossplane_tree(text, Path(folder))


# From here on nginx decides.


def asked(folder: Path, main: str, **files: str) -> str:
    """Return what `nginx -t` says; the main text may say FOLDER."""
    for name, text in {"main": main.replace("FOLDER", str(folder)), **files}.items():
        folder.joinpath(f"{name}.conf").write_bytes(text.encode())
    command = [NGINX, "-t", "-p", str(folder), "-c", str(folder / "main.conf"), "-g", "error_log stderr;"]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).stderr.decode(errors="surrogateescape")


TEMPORARY = "".join(f"{kind}_temp_path FOLDER/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
TOP = "pid FOLDER/pid; events {} "


def first_name(text: str, folder: Path) -> str | None:
    """Return the name of the first directive as nginx understands it, which is why it complains; None if it cannot."""
    said = asked(folder, TOP + "include probe.conf;", probe=text)
    found = re.search(r'\[emerg\][^"]* unknown directive "(.*)" in \S+/probe\.conf:\d+\n', said, re.DOTALL)
    return found[1] if found else None


CROSSPLANE_DEPARTS = {
    "a brace ends a bare word": ("zz}y;", "zz}y"),
    "a brace ends a bare word after an escape": (r"zz\}y}x;", r"zz\}y}x"),
    "a variable in braces swallows a semicolon": ("zz${a;b} c;", "zz${a"),
    "a variable in braces swallows the space after it": ("zz${a} c;", "zz${a}"),
    "a variable in braces goes on over a brace": ("zz${a{b;}", "zz${a"),
    "an escaped dollar makes a variable": (r"zz\${b;}", r"zz\$"),
    "a form feed is space": ("zz\x0cy b;", "zz\x0cy"),
    "a no-break space is space": ("zz\u00a0y b;", "zz\u00a0y"),
    "a carriage return in quotes is a newline": ('"zz\ry";', "zz\ry"),
}


@pytest.mark.parametrize(("text", "name"), CROSSPLANE_DEPARTS.values(), ids=list(CROSSPLANE_DEPARTS))
def test_where_crossplane_departs_we_stay_with_nginx(text: str, name: str, tmp_path: Path) -> None:
    assert first_name(text, tmp_path) == name
    ours = parse(text, file="f")
    assert ours[0].name == name
    with suppress(ValueError, crossplane.errors.NgxParserBaseException):
        assert crossplane_tree(text, tmp_path) != our_tree(ours), "it departs no more: generate such words"


@pytest.mark.parametrize(
    "written",
    [
        r'"zz\"\'\\"',
        r"'zz\"\'\\'",
        r"zz\"\'\\",
        r"zz\t\r\n",
        r'"zz\t\r\n"',
        r"zz\.\d\{\;\ \#",
        r'"zz\$\{"',
        "zz\\\ny",
        '"z\nz"',
    ],
)
def test_the_escapes_undone_for_crossplane_are_those_of_nginx(written: str, tmp_path: Path) -> None:
    text = f"{written} zz;"
    said = first_name(text, tmp_path)
    assert said == parse(text, file="f")[0].name == crossplane_tree(text, tmp_path)[0][0]


def test_a_byte_order_mark_that_we_skip_is_refused_by_nginx(tmp_path: Path) -> None:
    assert first_name("\ufeffzz;", tmp_path) == "\ufeffzz"
    assert parse("\ufeffzz;", file="f")[0].name == "zz"


GARBAGE = st.lists(
    st.sampled_from(["zz", "}", "{", ";", " ", "\n", '"', "'", "\\", "$", "${", "#", ")", "t", "é", '"zz"', "zz;"]),
    max_size=12,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(GARBAGE)
def test_we_accept_what_nginx_accepts_and_name_the_same_line(text: str) -> None:
    """Within `types` nginx takes any words, but no block."""
    with TemporaryDirectory() as folder:
        said = asked(Path(folder), TOP + "http {" + TEMPORARY + "types { include probe.conf; } }", probe=text)
    refused = re.search(r"\[emerg\].* in \S+/probe\.conf:(\d+)\n", said, re.DOTALL)
    problem = our_problem(text)
    assert bool(refused) == bool(problem), said
    if refused and 'unexpected "' in problem and "{" not in text:
        assert problem.startswith(f"f:{refused[1]}:"), said


def our_problem(text: str) -> str:
    try:
        return "a block" if any(one.block is not None for one in parse(text, file="f")) else ""
    except ConfigUnreadable as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(GARBAGE.map("zz{};".format))
def test_we_read_the_same_first_word_as_nginx(text: str) -> None:
    try:
        ours = parse(text, file="f")
    except ConfigUnreadable:
        return
    with TemporaryDirectory() as folder:
        assert first_name(text, Path(folder)) == ours[0].name


@contextmanager
def serving(folder: Path, server: str) -> Iterator[int]:
    """Run an nginx with one server on a free port of the loopback, in the foreground and in one process."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
    main = f"daemon off; master_process off; error_log stderr; {TOP} http {{ access_log off; {TEMPORARY}"
    main = main.replace("FOLDER", str(folder)) + f"server {{ listen 127.0.0.1:{port}; {server} }} }}"
    folder.joinpath("main.conf").write_text(main)
    nginx = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "main.conf")], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        nginx.terminate()
        nginx.wait(timeout=10)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)


SERVED = [
    r'"a \"b\" \'c\' \\ d"',
    r"'a \"b\" \'c\' \\ d'",
    r"a\"b\'c\\d\te\nf\rg",
    r'"\d+\.\w \x \; \{"',
    r"\;\{\ \#}x\}",
    '"two\nlines # no comment; {}"',
    '"tab\there\\\nkept"',
    "it's",
    'x#y"z',
    '"é\u00a0\x0c"',
    "')'",
]


def test_nginx_serves_the_words_that_we_read(tmp_path: Path) -> None:
    locations = "".join(f"location = /{number} {{ return 200 {word}; }}" for number, word in enumerate(SERVED))
    with serving(tmp_path, locations) as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as ask:
        for number, word in enumerate(SERVED):
            ask.request("GET", f"/{number}")
            assert ask.getresponse().read().decode() == parse(f"return 200 {word};", file="f")[0].args[1]


def dumped(folder: Path, tree: dict[str, str]) -> bytes:
    for name, text in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.replace("FOLDER", str(folder)).encode())
    command = [NGINX, "-T", "-c", str(folder / "main.conf"), "-g", "error_log stderr;"]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_we_put_a_dump_of_nginx_together_as_nginx_does(tmp_path: Path) -> None:
    """The order in which nginx prints files is the order in which it first opened them."""
    tree = {
        "main.conf": TOP + "include top/*.conf; http {" + TEMPORARY + "include sites/[!x]*; include ./odd.conf; }",
        "top/b.conf": "worker_rlimit_nofile 512;\n# configuration file FOLDER/top/a.conf:\nworker_processes 7;\n",
        "top/a.conf": "# configuration file FOLDER/sites/z:\nworker_priority 1;",
        "top/.hidden.conf": "no;",
        "sites/z": "server { include snip/one.conf; listen 127.0.0.1:1; }",
        "sites/Z": "server { location / { include snip/one.conf; } listen 127.0.0.1:2; }",
        "sites/é": "log_format e x; include snip/*/two.conf;",
        "sites/.z": "no;",
        "sites/x": "no;",
        "snip/one.conf": "add_header X-One 1;",
        "snip/deep/two.conf": "map $uri $two { include snip/map; }",
        "snip/map": "k v; include 'snip/more map';\r\n",
        "snip/more map": "more v;",
        "odd.conf": "types { include snip/map; }",
    }
    dump, main = dumped(tmp_path, tree), str(tmp_path / "main.conf")
    texts = texts_of(dump)
    assert list(dict.fromkeys(files_of(flatten(main, texts)))) == list(texts)


def test_nginx_prints_no_geo_base_that_it_read_from_its_binary_and_we_can_do_without(tmp_path: Path) -> None:
    geo = "geo $office { ranges; include base.geo; }"
    # nginx writes the binary base for itself when a file has more than 100,000 ranges.
    networks = [f"{high}.{middle}.{low}" for high in (10, 11) for middle in range(256) for low in range(256)]
    base = "".join(f"{network}.0-{network}.255 {number % 2};\n" for number, network in enumerate(networks))
    tree = {"main.conf": f"{TOP} http {{ {TEMPORARY} {geo} }}", "base.geo": base}
    first = texts_of(dumped(tmp_path, tree))
    second = texts_of(dumped(tmp_path, {}))
    main = str(tmp_path / "main.conf")
    assert list(first) == [main, str(tmp_path / "base.geo")]
    assert list(second) == [main]
    assert flatten(main, first) == flatten(main, second)


def files_of(directives: tuple[Directive, ...]) -> Iterator[str]:
    for one in directives:
        yield one.file
        yield from files_of(one.block or ())
