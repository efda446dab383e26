"""What a master's title and its status in /proc say of it."""

import pytest

from exodus_certbot.nginx.command_line import CommandLine, of_master
from exodus_certbot.nginx.proc import Status


@pytest.mark.parametrize(
    ("title", "line"),
    [
        (b"nginx: master process nginx", CommandLine("nginx")),
        (b"nginx: master process", CommandLine()),
        (
            b"nginx: master process /usr/sbin/nginx -g daemon on; master_process on;",
            CommandLine("/usr/sbin/nginx", directives="daemon on; master_process on;"),
        ),
        (b"nginx: master process nginx -c /etc/a b.conf", CommandLine("nginx", conf="/etc/a b.conf")),
        (b"nginx: master process nginx -p/srv/ -c conf/x.conf -q", CommandLine("nginx", "/srv/", "conf/x.conf")),
        (
            b"angie: master process /usr/sbin/angie -p /x -g pid y.pid; -e stderr -c z",
            CommandLine("/usr/sbin/angie", "/x", "z", "pid y.pid;"),
        ),
    ],
)
def test_a_title_says_how_its_master_was_started(title: bytes, line: CommandLine) -> None:
    assert of_master(title) == line


@pytest.mark.parametrize(
    "title",
    [b"", b"nginx: worker process", b"vi nginx: master process", b"sh\0-c", b"nginx: master process nginx -c /x\0 600"],
)
def test_whoever_is_no_master_has_no_such_title(title: bytes) -> None:
    assert of_master(title) is None


WAITS = b"Uid:\t0\t33\t0\t0\nNSpid:\t7\nSigPnd:\t%s\nShdPnd:\t%s\nSigBlk:\t%s\n"
NONE, HANGUP = b"0000000000000000", b"0000000000000001"


@pytest.mark.parametrize(
    ("masks", "waits"),
    [
        ((NONE, NONE, NONE), True),
        ((HANGUP, NONE, NONE), False),
        ((NONE, HANGUP, NONE), False),
        ((NONE, NONE, HANGUP), False),
    ],
    ids=["idle", "told", "told as a process", "at work"],
)
def test_a_master_awaits_signals_where_it_blocks_none_and_none_is_on_its_way(
    masks: tuple[bytes, bytes, bytes], waits: bool
) -> None:
    assert Status(WAITS % masks).awaits_signals is waits


def test_a_process_that_is_gone_awaits_nothing() -> None:
    gone = Status(b"")
    assert (gone.awaits_signals, gone.uid, gone.is_contained) == (False, None, False)


def test_a_status_says_whose_rights_a_process_has_and_whether_it_is_in_a_namespace_below_ours() -> None:
    assert (Status(WAITS % (NONE, NONE, NONE)).uid, Status(b"NSpid:\t7\t1\n").is_contained) == (33, True)
