"""What people, scripts and monitoring are shown, and what the command makes of its arguments."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exodus_certbot import settings
from exodus_certbot.cli import main as cli
from exodus_certbot.cli import report
from exodus_certbot.model import KeyType, Overall, RenewalWindow, Report, Row, Verdict

DAILY_USE = Path(__file__).parents[2] / "docs/daily-use.md"
END = datetime(2027, 1, 3, 9, 12, 44, tzinfo=UTC)
ROW = Row(
    name="exodus.example",
    address="0.0.0.0",
    port=443,
    key_type=KeyType.ECDSA,
    lineage=Path("/etc/letsencrypt/live/exodus.example"),
    expected_sha256="aa",
    served_sha256="aa",
    not_after=END,
    verdict=Verdict.OK,
    reason="as on disk, 40 days left",
)
STALE = replace(ROW, served_sha256="bb", verdict=Verdict.STALE, reason="serves bb")
SOCKET = replace(ROW, name="", address="unix:/run/n.sock", port=None, key_type=None, lineage=None, not_after=None)


def reported(verdict: Overall, *rows: Row, reason: str = "because") -> Report:
    return Report(verdict, reason, reloaded=False, listeners=rows)


def test_json_has_every_field_of_the_contract() -> None:
    shown = json.loads(report.show(reported(Overall.OK, ROW, SOCKET), "json"))

    assert list(shown) == ["verdict", "reason", "reloaded", "listeners"]
    assert (shown["verdict"], shown["reloaded"]) == ("ok", False)
    first, second = shown["listeners"]
    assert first == {
        "name": "exodus.example",
        "address": "0.0.0.0",
        "port": 443,
        "key_type": "ecdsa",
        "lineage": "/etc/letsencrypt/live/exodus.example",
        "expected_sha256": "aa",
        "served_sha256": "aa",
        "not_after": "2027-01-03T09:12:44Z",
        "verdict": "ok",
        "reason": "as on disk, 40 days left",
    }
    assert [second[field] for field in ("port", "key_type", "lineage", "not_after")] == [None] * 4


@pytest.mark.parametrize(
    ("verdict", "plain", "nagios"),
    [(Overall.OK, 0, 0), (Overall.WARNING, 0, 1), (Overall.CRITICAL, 1, 2), (Overall.UNKNOWN, 1, 3)],
)
def test_exit_codes_are_those_of_the_contract(verdict: Overall, plain: int, nagios: int) -> None:
    assert [report.exit_code(reported(verdict), output) for output in ("text", "json", "prometheus")] == [plain] * 3
    assert report.exit_code(reported(verdict), "nagios") == nagios


def test_text_leaves_out_what_needs_no_attention_unless_asked() -> None:
    mixed = reported(Overall.CRITICAL, ROW, replace(STALE, name="stale.example"))

    assert "exodus.example" not in report.show(mixed, "text", every_row=False)
    assert "stale.example" in report.show(mixed, "text", every_row=False)
    assert "exodus.example" in report.show(mixed, "text")


def test_text_says_what_next_where_a_reload_would_help() -> None:
    assert "What next: exodus-certbot reconcile" in report.show(reported(Overall.CRITICAL, STALE), "text")
    assert "What next" not in report.show(reported(Overall.OK, ROW), "text")


@pytest.mark.parametrize("name", ["a|b", "a\nCRITICAL", "\x1b[31m", "caf\xe9"])
def test_nothing_in_a_name_breaks_the_line_of_nagios(name: str) -> None:
    shown = report.show(reported(Overall.CRITICAL, replace(STALE, name=name)), "nagios")

    assert shown.startswith("CRITICAL")
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert shown.count("|") == 1
    assert "'stale'=1" in shown.split("|")[1] or "stale=1" in shown.split("|")[1]


def test_prometheus_tells_a_match_from_a_mismatch_and_leaves_out_what_was_not_probed() -> None:
    not_probed = replace(ROW, name="quic.example", verdict=Verdict.NOT_PROBED)
    shown = report.show(reported(Overall.CRITICAL, ROW, replace(STALE, name="stale.example"), not_probed), "prometheus")

    lines = [line for line in shown.splitlines() if line.startswith("exodus_certbot_served_match")]
    assert [(line.split()[-1], "stale.example" in line) for line in lines] == [("1", False), ("0", True)]
    assert "quic.example" not in shown
    assert "exodus_certbot_verdict 2" in shown


def test_a_row_of_quic_is_told_from_the_one_of_tcp_with_the_same_address() -> None:
    over_quic = replace(STALE, transport="quic")
    both = reported(Overall.CRITICAL, ROW, over_quic)

    labels = [
        line for line in report.show(both, "prometheus").splitlines() if line.startswith("exodus_certbot_served_m")
    ]
    assert [(line.split()[-1], 'transport="quic"' in line) for line in labels] == [("1", False), ("0", True)]
    assert [row.get("transport") for row in json.loads(report.show(both, "json"))["listeners"]] == [None, "quic"]


def test_what_is_excepted_is_counted_and_named_and_alarms_nobody() -> None:
    excepted = replace(
        ROW, verdict=Verdict.EXCEPTED, reason='excepted by except_listeners = "*:443"', served_sha256=None
    )
    only = reported(Overall.OK, excepted)

    assert "exodus.example" in report.show(only, "text")
    assert "exodus.example" not in report.show(only, "text", every_row=False)
    assert "excepted'=1" in report.show(only, "nagios") or "excepted=1" in report.show(only, "nagios")
    assert 'exodus_certbot_listeners{verdict="excepted"} 1' in report.show(only, "prometheus")
    assert "served_match{" not in report.show(only, "prometheus")


def test_prometheus_has_a_help_and_a_type_line_for_each_family() -> None:
    shown = report.show(reported(Overall.OK, ROW), "prometheus").splitlines()
    families = {line.split("{")[0].split(" ")[0] for line in shown if not line.startswith("#")}
    for kind in ("HELP", "TYPE"):
        assert {line.split()[2] for line in shown if line.startswith(f"# {kind} ")} == families


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_seconds": 0},
        {"timeout_seconds": 3601},
        {"warn_days": -1},
        {"warn_days": 3651},
        {"connect": "exodus.example"},
        {"connect": "127.0.0.1:443"},
        {"connect": "::1%lo"},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    (key,) = wrong
    with pytest.raises(ValueError, match=f"{key}: allowed"):
        settings.Settings(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_settings_at_their_limits_are_accepted() -> None:
    accepted = settings.Settings(timeout_seconds=3600, warn_days=0, connect="2001:db8::1")
    assert (accepted.timeout_seconds, accepted.warn_days) == (3600, 0)
    assert settings.Settings(connect="fe80::1%eth0").connect == "fe80::1%eth0"


def test_systemd_gives_the_state_folder() -> None:
    assert settings.state_dir({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    assert settings.state_dir({}) == settings.DEFAULT_STATE_DIR


@pytest.mark.parametrize("arguments", [[], ["chekc"], ["check", "--format", "xml"], ["check", "--timeout", "soon"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: exodus-certbot" in capsys.readouterr().err


def test_deploy_without_a_lineage_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RENEWED_LINEAGE", raising=False)
    monkeypatch.setenv(settings.VARIABLE, "/dev/null")
    assert cli.main(["deploy"]) == 2
    assert "--lineage" in capsys.readouterr().err


@pytest.mark.parametrize("output", [[], ["--json"]])
def test_wrong_settings_exit_78_and_name_file_and_key(
    output: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("warn_dayz = 3\n")

    assert cli.main(["check", "--config", str(file), *output]) == 78

    complaint = capsys.readouterr().err
    assert str(file) in complaint
    assert "warn_dayz" in complaint
    assert complaint.count("\n") == 1


def test_monitoring_is_told_of_wrong_settings_in_its_own_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--format", "nagios", "--config", str(tmp_path / "missing.toml")]) == 3
    assert capsys.readouterr().out.startswith(f"UNKNOWN - {tmp_path / 'missing.toml'}: does not exist")


def test_an_option_that_cannot_work_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(settings.VARIABLE, "/dev/null")
    assert cli.main(["check", "--timeout", "0"]) == 2
    assert "timeout_seconds: allowed" in capsys.readouterr().err


def test_the_page_shows_the_help_that_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compare words, not lines: each Python breaks them in its own way, and names `-q, --quiet` in its own."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        cli.main(["--help"])

    shown = DAILY_USE.read_text().split("<!-- help -->")[1].split("```")[1].removeprefix("text")

    assert shown.split() == capsys.readouterr().out.split()


def test_json_has_the_windows_that_cas_suggest() -> None:
    window = RenewalWindow("exodus.example", END, END)
    shown = json.loads(report.show(replace(reported(Overall.OK), renewals=(window,)), "json"))

    (renewal,) = shown["renewals"]
    assert renewal["lineage"] == "exodus.example"
    assert renewal["start"] == renewal["end"]
