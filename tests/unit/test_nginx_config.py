"""Ask the reader of nginx configuration for words, trees, includes and dumps, by tables."""

import time
from collections.abc import Iterator, Mapping

import pytest

from exodus_certbot.nginx.config import MAX_DEPTH, ConfigUnreadable, Directive, flatten, parse

MAIN = "/etc/nginx/nginx.conf"


def words(text: str) -> list[str]:
    """Return all words of a text that has no blocks."""
    return [word for directive in parse(text, file="t") for word in (directive.name, *directive.args)]


def shape(directives: tuple[Directive, ...]) -> list[object]:
    """Reduce directives to nested lists: a string for a plain directive, a pair of it and a list for a block."""
    return [
        text if one.block is None else (text, shape(one.block))
        for one in directives
        for text in [" ".join((one.name, *one.args))]
    ]


def flat(files: Mapping[str, str], main: str = MAIN) -> list[object]:
    return shape(flatten(main, files))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b c;", ["a", "b", "c"]),
        ("a\tb\r\nc ;", ["a", "b", "c"]),
        ("", []),
        (" \r\n\t ", []),
        ("a b;c d;", ["a", "b", "c", "d"]),
        ("a 'b c' \"d;{}\";", ["a", "b c", "d;{}"]),
        ("a '' \"\";", ["a", "", ""]),
        ("'a b' c;", ["a b", "c"]),
        ("a b'c d\"e;", ["a", "b'c", 'd"e']),
        ('a "it\'s" \'say "x"\';', ["a", "it's", 'say "x"']),
        ('if "x")y;', ["if", "x", ")y"]),
        ('a "one\ntwo";', ["a", "one\ntwo"]),
        ("a b}c;", ["a", "b}c"]),
        ("a x=}y}z;", ["a", "x=}y}z"]),
        ("a\u00a0b\x0bc\x0c;", ["a\u00a0b\x0bc\x0c"]),
        ("a caf\u00e9 \U0001f600;", ["a", "caf\u00e9", "\U0001f600"]),
    ],
)
def test_words_end_where_nginx_ends_them(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"\""', '"'),
        (r"'\''", "'"),
        (r'"\'"', "'"),
        (r"\"x", '"x'),
        (r'"\\"', "\\"),
        (r"\\", "\\"),
        (r"\\n", r"\n"),
        (r"\t\r\n", "\t\r\n"),
        (r'"\t\r\n"', "\t\r\n"),
        (r"\.php$", r"\.php$"),
        (r"'\d+\.\w'", r"\d+\.\w"),
        (r"a\ b", r"a\ b"),
        (r"a\;b", r"a\;b"),
        (r"a\{b", r"a\{b"),
        (r"\#x", r"\#x"),
        (r"\}", r"\}"),
        (r"\$x", r"\$x"),
        ('"a\\\nb"', "a\\\nb"),
        (r"\\\"\\\'", "\\\"\\'"),
    ],
)
def test_a_backslash_is_dropped_turned_or_kept_as_nginx_does(written: str, meant: str) -> None:
    assert words(f"a {written};") == ["a", meant]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ${b};", ["a ${b}"]),
        ("a x${b}y$c;", ["a x${b}y$c"]),
        ("a ${b}{}", [("a ${b}", [])]),
        ("a ${{b;", ["a ${{b"]),
        ("a $b{}", [("a $b", [])]),
        ("a $${b};", ["a $${b}"]),
        (r"a \${}", [(r"a \$", [])]),
        ('a "$"{}', [("a $", [])]),
        ("a \"${b}\" '${c}';", ["a ${b} ${c}"]),
    ],
)
def test_a_brace_after_a_dollar_opens_no_block(text: str, expected: list[object]) -> None:
    assert shape(parse(text, file="t")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# a;", []),
        ("# a;\nb;", ["b"]),
        ("a;# b {\nc;", ["a", "c"]),
        ("a # b;\n c;", ["a", "c"]),
        ("#\r\na;", ["a"]),
        ("a b#c;", ["a", "b#c"]),
        ("a '#b' \"#c\";", ["a", "#b", "#c"]),
        ("# ' \" \\\na;", ["a"]),
        ("a 'b' # 'c\n;", ["a", "b"]),
        ("# one\rtwo;\na;", ["a"]),
    ],
)
def test_a_comment_begins_only_where_a_word_could(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_blocks_nest_and_know_their_file_and_line() -> None:
    text = "# top\nhttp\n{\n  server { listen 80; }\n\n  'server' {}\n}\nlast;"
    listen = Directive("listen", ("80",), None, "f", 4)
    servers = (Directive("server", (), (listen,), "f", 4), Directive("server", (), (), "f", 6))
    assert parse(text, file="f") == (Directive("http", (), servers, "f", 2), Directive("last", (), None, "f", 8))


def test_lines_are_counted_through_quotes_comments_and_lua() -> None:
    text = 'a "\n\n"; # x\nb\n c; d_by_lua_block {\n -- }\n}\ne;'
    assert [(one.name, one.line) for one in parse(text, file="f")] == [
        ("a", 1),
        ("b", 4),
        ("d_by_lua_block", 5),
        ("e", 8),
    ]


def test_windows_line_ends_change_neither_words_nor_lines() -> None:
    text = "http {\n  # c\n  server_name a\n    b;\n}\n"
    assert parse(text.replace("\n", "\r\n"), file="f") == parse(text, file="f")


def test_a_byte_order_mark_is_skipped_only_at_the_start() -> None:
    assert words("\ufeffa b;") == ["a", "b"]
    assert words("\ufeff# c\na;") == ["a"]
    assert words("a \ufeffb;") == ["a", "\ufeffb"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "local t = {a = {1, 2}}",
        'ngx.say("}")',
        "ngx.say('}')",
        r'ngx.say("\"}")',
        r"ngx.say('\\')",
        r'ngx.say("\\", "}")',
        "ngx.say([[ } ]])",
        "ngx.say([==[ } ]] ]=] ]==])",
        "-- a } comment\n",
        "-- it's\n",
        '-- "\n',
        "--[[ } \n } ]]",
        "--[==[ ]] } ]==]",
        "--[ } no long bracket\n",
        "---[[ } no long bracket\n",
        "x = a - b --}\n",
        "x = t[t2[1]]",
        "x = [[ -- ]] -- }\n",
        'x = "--[[" y = {}',
        "x = '[[' y = {}",
        'if x then\n  ngx.say("a;b #")\nend',
    ],
)
def test_the_body_of_lua_is_skipped_to_its_own_brace(body: str) -> None:
    text = f"server {{ content_by_lua_block {{{body}}} listen 80; }} a;"
    assert shape(parse(text, file="t")) == [("server", [("content_by_lua_block", []), "listen 80"]), "a"]


def test_lua_keeps_the_words_before_its_brace() -> None:
    assert shape(parse("set_by_lua_block $x { return '}' }b;", file="t")) == [("set_by_lua_block $x", []), "b"]
    assert shape(parse("set_by_lua_block $x\n{ return {} }b;", file="t")) == [("set_by_lua_block $x", []), "b"]


def test_lua_in_a_string_is_an_ordinary_directive() -> None:
    assert words("content_by_lua 'ngx.say(\"}\")'; content_by_lua_file x.lua;")[1] == 'ngx.say("}")'
    assert words("x_by_lua_block;") == ["x_by_lua_block"]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a", 1, "unexpected end of file"),
        ("a;\nb c", 2, "unexpected end of file"),
        ("a;\nb c # d;", 2, "unexpected end of file"),
        ("a {\n b;\n", 3, 'unexpected end of file, "}" missing'),
        ("a \\", 1, "unexpected end of file"),
        ("a;\n}", 2, 'unexpected "}"'),
        ("a {}}", 1, 'unexpected "}"'),
        ("a {\n b }", 2, 'unexpected "}"'),
        (";", 1, 'unexpected ";"'),
        ("a;\n;", 2, 'unexpected ";"'),
        ("a {};", 1, 'unexpected ";"'),
        ("\n{ a; }", 2, 'unexpected "{"'),
        ("\n\na 'b;\n c;", 3, "a quote opens here and never closes"),
        ('a "b\\";', 1, "a quote opens here and never closes"),
        ("a 'b'c;", 1, "no space after a closing quote"),
        ("a 'b'\"c\";", 1, "no space after a closing quote"),
        ("a 'b'#c\n;", 1, "no space after a closing quote"),
        ("a { b 'c'}", 1, "no space after a closing quote"),
        ("a 'b'", 1, "no space after a closing quote"),
        ("a;\nx_by_lua_block {\n {}\n", 2, "the Lua code that starts here never ends"),
        ("x_by_lua_block { [[ } ]=] }", 1, "the Lua code that starts here never ends"),
        ("x_by_lua_block { '}' ", 1, "the Lua code that starts here never ends"),
    ],
)
def test_what_nginx_refuses_is_refused_with_file_and_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(ConfigUnreadable) as refused:
        parse(text, file="/etc/nginx/x.conf")
    assert str(refused.value).startswith(f"/etc/nginx/x.conf:{line}: {problem};")


@pytest.mark.parametrize(
    "text",
    [
        "a hunter2",
        "a hunter2 }",
        "a 'hunter2",
        "a 'x'hunter2;",
        "hunter2",
        "x_by_lua_block { hunter2",
        "hunter2 {",
        "{" * 3 + "hunter2",
        "hunter2 { " * (MAX_DEPTH + 1),
        "include hunter2;",
        "include [[:hunter2:];",
        "include nginx.conf; # hunter2",
    ],
)
def test_an_error_never_quotes_a_secret(text: str) -> None:
    with pytest.raises(ConfigUnreadable) as refused:
        flatten(MAIN, {MAIN: text})
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert str(refused.value).startswith(f"{MAIN}:1: ")


def test_ten_thousand_nested_blocks_are_refused_in_words() -> None:
    for closing in ("", "}" * 10_000):
        with pytest.raises(ConfigUnreadable, match="nested too deeply"):
            parse("a {" * 10_000 + closing, file="f")


def test_blocks_nest_as_deep_as_promised() -> None:
    text = "a {" * MAX_DEPTH + "}" * MAX_DEPTH
    assert flatten(MAIN, {MAIN: text}) == parse(text, file=MAIN)


@pytest.mark.parametrize(
    ("include", "names"),
    [
        ("include a.conf;", ["a"]),
        ("include ./a.conf;", ["dot-a"]),
        ("include ../up.conf;", ["up"]),
        ("include /etc/nginx/a.conf;", ["a"]),
        ("include /srv/z.conf;", ["z"]),
        ("'include' \"a.conf\";", ["a"]),
        ("include sites/*;", ["Z", "a", "b", "\u00e9", "\udcff"]),
        ("include sites/*.conf;", ["Z", "b", "\u00e9", "\udcff"]),
        ("include a*.conf;", ["a"]),
        ("include s*/b.conf;", ["b"]),
        ("include */*.conf;", ["Z", "b", "\u00e9", "\udcff"]),
        ("include sites/?.conf;", ["Z", "b", "\udcff"]),
        ("include sites/??.conf;", ["\u00e9"]),
        ("include sites/[a-z].conf;", ["b"]),
        ("include sites/[!a-z].conf;", ["Z", "\udcff"]),
        ("include sites/[^a-z].conf;", ["Z", "\udcff"]),
        ("include sites/.*;", ["hidden"]),
        ("include sites/[.]*;", []),
        ("include [.s]ites/[b]*[f];", ["b"]),
        ("include sites/.h*.conf;", ["hidden"]),
        ("include none/*.conf;", []),
        ("include sites/**;", ["Z", "a", "b", "\u00e9", "\udcff"]),
        ("include sites/[b;", []),
        ("include sites/[^];", []),
        ("include sites/[!];", []),
        ("include sites/b[.]con[^]];", ["b"]),
        ("include s[i/]tes/b.conf;", []),
        ("include //*.conf;", []),
    ],
)
def test_an_include_finds_what_glob_3_finds_in_byte_order(include: str, names: list[str]) -> None:
    files = {
        "/etc/nginx/a.conf": "a;",
        "/etc/nginx/./a.conf": "dot-a;",
        "/etc/nginx/../up.conf": "up;",
        "/etc/nginx/.hidden.conf": "no;",
        "/etc/nginx/sites/b.conf": "b;",
        "/etc/nginx/sites/a": "a;",
        "/etc/nginx/sites/Z.conf": "Z;",
        "/etc/nginx/sites/\udcff.conf": "\udcff;",
        "/etc/nginx/sites/\u00e9.conf": "\u00e9;",
        "/etc/nginx/sites/.hidden.conf": "hidden;",
        "/etc/nginx/sites/deep/c.conf": "c;",
        "/srv/z.conf": "z;",
    }
    assert flat({MAIN: include, **files}) == names


def test_a_file_whose_name_looks_like_a_glob_is_found_only_by_one() -> None:
    files = {"/etc/nginx/a[1].conf": "odd;", "/etc/nginx/a1.conf": "plain;"}
    assert flat({MAIN: "include a[1].conf;", **files}) == ["plain"]
    assert flat({MAIN: "include a[[]1].conf;", **files}) == ["odd"]


def test_a_glob_that_is_not_understood_is_refused_rather_than_misread() -> None:
    for pattern in ("[[:alpha:]].conf", r"'a\*.conf'", "[[.a.]]*"):
        with pytest.raises(ConfigUnreadable, match=f"{MAIN}:2: an include with"):
            flatten(MAIN, {MAIN: f"a;\ninclude {pattern};"})


def test_includes_are_relative_to_the_main_file_from_any_file_and_depth() -> None:
    files = {
        MAIN: "http { include sites/one.conf; }",
        "/etc/nginx/sites/one.conf": "server { location / { include snippets/proxy.conf; } }",
        "/etc/nginx/snippets/proxy.conf": "proxy_pass x;",
        "/etc/nginx/sites/snippets/proxy.conf": "wrong;",
    }
    assert flat(files) == [("http", [("server", [("location /", ["proxy_pass x"])])])]


def test_included_directives_keep_their_own_file_and_line() -> None:
    (http,) = flatten(MAIN, {MAIN: "http {\ninclude a;\n}", "/etc/nginx/a": "\n\nserver {}"})
    assert http.block == (Directive("server", (), (), "/etc/nginx/a", 3),)


def test_an_include_among_map_entries_and_types_is_an_include() -> None:
    files = {MAIN: "map $a $b { x y; include m; } types { include m; }", "/etc/nginx/m": "k v;"}
    assert flat(files) == [("map $a $b", ["x y", "k v"]), ("types", ["k v"])]


def test_a_geo_block_keeps_its_includes_for_nginx_may_not_print_them() -> None:
    assert flat({MAIN: "geo $a { ranges; include bases/geo.conf; }"}) == [
        ("geo $a", ["ranges", "include bases/geo.conf"])
    ]


def test_an_empty_file_includes_nothing() -> None:
    assert flat({MAIN: "a; include e; b;", "/etc/nginx/e": ""}) == ["a", "b"]


def test_a_missing_include_is_refused_where_it_stands() -> None:
    with pytest.raises(ConfigUnreadable, match=f"^{MAIN}:3: the included file is missing"):
        flatten(MAIN, {MAIN: "http {\n\ninclude gone.conf; }"})
    with pytest.raises(ConfigUnreadable, match=f"^{MAIN}:1: the file is missing"):
        flatten(MAIN, {})


@pytest.mark.parametrize(
    "files",
    [
        {MAIN: "include nginx.conf;"},
        {MAIN: "include a;", "/etc/nginx/a": "server { include b; }", "/etc/nginx/b": "include [a];"},
        {MAIN: "include *;", "/etc/nginx/a": ""},
    ],
)
def test_an_include_loop_is_refused(files: dict[str, str]) -> None:
    with pytest.raises(ConfigUnreadable, match="an include loop"):
        flatten(MAIN, files)


def test_a_long_chain_of_includes_is_refused_in_words() -> None:
    files = {f"/{n}": f"include {n + 1};" for n in range(5_000)}
    with pytest.raises(ConfigUnreadable, match="nested too deeply"):
        flatten("/0", files)


def test_a_file_included_many_times_is_read_once() -> None:
    class Counted(Mapping[str, str]):
        def __init__(self, files: dict[str, str]) -> None:
            self.files, self.reads = files, list[str]()

        def __getitem__(self, path: str) -> str:
            self.reads.append(path)
            return self.files[path]

        def __contains__(self, path: object) -> bool:
            return path in self.files

        def __iter__(self) -> Iterator[str]:
            return iter(self.files)

        def __len__(self) -> int:
            return len(self.files)

    files = Counted({MAIN: "server { include s; }" * 50 + "include *s;", "/etc/nginx/s": "x;"})
    assert flat(files) == [("server", ["x"])] * 50 + ["x"]
    assert sorted(files.reads) == [MAIN, "/etc/nginx/s"]


def test_text_that_is_not_utf_8_goes_in_and_out_unchanged() -> None:
    text = b"a \xff\xfe;".decode("utf-8", "surrogateescape")
    assert words(text)[1].encode("utf-8", "surrogateescape") == b"\xff\xfe"


SITE = """server {{
    listen 443 ssl; # {0}
    server_name site{0}.example.org "www.site{0}.example.org" ~^s{0}\\.(?<rest>.+)$;
    ssl_certificate /etc/letsencrypt/live/site{0}.example.org/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/site{0}.example.org/privkey.pem;
    location ~ \\.php$ {{ include snippets/php.conf; proxy_set_header Host ${{host}}; }}
}}
"""


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("".join(map(SITE.format, range(2_000))), True),
        ('a "' + '\\"' * 500_000, False),
        ("a " + "${" * 500_000, False),
        ("a " + "\\" * 1_000_001, False),
        ("a " + "'' " * 300_000 + "''x", False),
        ("#" * 1_000_000, True),
        (" \n" * 500_000 + "}", False),
        ("a_by_lua_block {" + "--[[ ]]" * 100_000, False),
        ("a_by_lua_block {" + "[=" * 500_000, False),
        ("a_by_lua_block {" + "[[" * 500_000, False),
    ],
)
def test_no_text_takes_more_than_linear_time(text: str, readable: bool) -> None:
    started = time.perf_counter()
    try:
        parse(text, file="f")
        assert readable
    except ConfigUnreadable:
        assert not readable
    assert time.perf_counter() - started < 2
