"""What people, monitoring and browsers are shown."""

from html.parser import HTMLParser

from tests.parts.guard import MIB, Guarded


class Page(HTMLParser):
    """Read a page: its texts, and whether every tag that must be is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_the_page_shows_the_store_and_nothing_in_it_is_taken_for_html(guarded: Guarded) -> None:
    guarded.write(select={"pattern": ".", "minimum_age_days": 0})
    guarded.fill(89)
    guarded.put("<script>alert(1)</script>.apk".replace("/", "_"), size=MIB, days=900)
    guarded("init")
    guarded("sweep")
    target = guarded.folder / "report.html"

    ran = guarded("report", "--html", str(target))

    assert ran.exit_code == 0, ran.all_output
    page = Page(target.read_text("ascii"))
    assert "script" not in page.tags
    assert any("<script>alert(1)" in text for text in page.texts)
    assert {"svg", "table", "rect"} <= set(page.tags)
    assert "archived" in page.texts


def test_status_says_how_full_when_full_and_what_is_where(guarded: Guarded) -> None:
    guarded.fill(97, oldest=400, newest=200)
    guarded("init")
    full = guarded("status", "--json")
    guarded("sweep")
    swept = guarded("status", "--json")

    assert (full.exit_code, full.json["verdict"]) == (1, "critical")
    assert (swept.exit_code, swept.json["verdict"]) == (0, "ok")
    assert set(full.json) == {
        *("verdict", "reason", "capacity", "watermarks", "reservations", "objects", "pending_bytes", "full_at"),
        "full_between",
    }
    assert set(full.json["capacity"]) == {"source", "total_bytes", "used_bytes", "free_bytes", "measured_at"}
    assert full.json["watermarks"] == {"low_bytes": 75 * MIB, "high_bytes": 85 * MIB, "flood_bytes": 95 * MIB}
    assert full.json["objects"]["resident"] == {"count": 97, "bytes": 97 * MIB}
    assert swept.json["objects"]["archived"] == {"count": 22, "bytes": 22 * MIB}
    assert full.json["full_at"] is None


def test_check_speaks_nagios_and_prometheus(guarded: Guarded) -> None:
    guarded.fill(90, oldest=400, newest=200)
    guarded("init")

    nagios = guarded("check", "--format", "nagios")
    prometheus = guarded("check", "--format", "prometheus")

    assert nagios.exit_code == 1
    assert nagios.stdout.startswith("WARNING - 90.0 MiB of 100 MiB used")
    assert "'used'=94371840B" in nagios.stdout or "used=94371840B" in nagios.stdout
    assert f"exodus_storage_guard_used_bytes {90 * MIB}" in prometheus.stdout
    assert 'exodus_storage_guard_objects{state="resident"} 90' in prometheus.stdout


def test_wrong_settings_are_unknown_to_nagios_and_wrong_settings_elsewhere(guarded: Guarded) -> None:
    guarded.write(capacity={"source": "guess"})

    nagios = guarded("check", "--format", "nagios")
    text = guarded("check")

    assert (nagios.exit_code, text.exit_code) == (3, 78)
    assert nagios.stdout.startswith("UNKNOWN - ")
    assert "capacity.source" in nagios.stdout


def test_what_cannot_be_known_is_unknown_to_nagios_and_an_error_elsewhere(guarded: Guarded) -> None:
    nagios = guarded("check", "--format", "nagios")
    text = guarded("check")

    assert (nagios.exit_code, text.exit_code) == (3, 1)
    assert nagios.stdout.startswith("UNKNOWN - there is no catalogue")


def test_plan_changes_nothing(guarded: Guarded) -> None:
    keys = guarded.fill(97, oldest=400, newest=200)
    guarded("init")

    planned = guarded("plan", "--need", "10 MiB", "--json")

    assert planned.exit_code == 0
    assert [one["key"] for one in planned.json["objects"]] == keys[:12]
    assert {one["action"] for one in planned.json["objects"]} == {"archive"}
    assert guarded.stored() == set(keys)
    assert guarded.archived() == {}
