"""How large a store is, and how full, by its server's metrics: figures that can be, or a sentence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard.capacity.prometheus import RENEWED_EVERY, figures_of, read
from exodus_storage_guard.model import Capacity
from exodus_storage_guard.settings import CapacitySettings

NOW = datetime(2026, 6, 1, 12, 30, 15, 250, tzinfo=UTC)
URL = "http://127.0.0.1:3903/metrics"
NAMED = {"total_metric": "t", "free_metric": "f"}
# As Garage documents it (reference manual, monitoring).
OF_GARAGE = """\
garage_build_info{version="1.0"} 1
garage_local_disk_avail{volume="data"} 540341960704
garage_local_disk_avail{volume="metadata"} 1000
garage_local_disk_total{volume="data"} 763063566336
garage_local_disk_total{volume="metadata"} 2000
"""
OF_MINIO = """\
minio_cluster_capacity_usable_free_bytes{server="127.0.0.1:9000"} 3.5e+10
minio_cluster_capacity_usable_total_bytes{server="127.0.0.1:9000"} 5e+10
minio_cluster_capacity_raw_total_bytes{server="127.0.0.1:9000"} 9e+10
"""
OF_MINIO_V3 = OF_MINIO.replace("_capacity_", "_health_capacity_")


def measured(page: str, source: str = "prometheus", **settings: Any) -> Capacity:
    wanted = CapacitySettings(source, url=URL, **settings)  # type: ignore[arg-type]  # what a file may say
    return read(page, figures_of(wanted), source, NOW)


@pytest.mark.parametrize(
    ("page", "total", "free"),
    [
        (OF_GARAGE, 763063566336, 540341960704),
        (OF_MINIO, 50_000_000_000, 35_000_000_000),
        (OF_MINIO_V3, 50_000_000_000, 35_000_000_000),
    ],
)
def test_minio_and_garage_are_known(page: str, total: int, free: int) -> None:
    assert measured(page) == Capacity("prometheus", total, total - free, free, NOW - RENEWED_EVERY)


def test_the_shorthand_for_minio_knows_minio_alone() -> None:
    assert measured(OF_MINIO, "minio").source == "minio"
    with pytest.raises(ValueError, match="are they the cluster's"):
        measured(OF_GARAGE, "minio")


def test_what_the_settings_name_counts_and_nothing_else() -> None:
    page = OF_GARAGE + OF_MINIO + 't{disk="1",kind="a"} 10\nt{disk="2",kind="a"} 20\nt{kind="b"} 100\nu{kind="a"} 12\n'

    found = measured(page, total_metric='t{kind="a"}', used_metric="u")

    assert (found.total_bytes, found.used_bytes, found.free_bytes) == (30, 12, 18)
    assert measured(page, total_metric='t{kind="b"}', free_metric="u").used_bytes == 88


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("", "none of these metrics is there: t;"),
        ("t 1\n", "t is there, and f is not"),
        ("t 1e999\nf 1\n", "a sample of inf, which is no size"),
        ("t 1\nf 1e999\n", "a sample of inf, which is no size"),
        ("t 1\nf NaN\n", "cannot be read"),
        ("t 1e30\nf 1\n", "which is no size"),
        ('t{a="1"} 9e18\nt{a="2"} 9e18\nf 1\n', "adds up to 18"),
        ('t{a="1"} 10\nt{a="2"} -5\nf 1\n', "a sample of -5.0, which is no size"),
        ("t 0\nf 0\n", "t is 0 and f is 0, which cannot be"),
        ("t 0.5\nf 0\n", "t is 0 and f is 0, which cannot be"),
        ("t 5\nf 6\n", "t is 5 and f is 6, which cannot be"),
        ("t 5\nf -1\n", "a sample of -1.0"),
    ],
)
def test_figures_that_cannot_be_are_refused_with_a_sentence(page: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        measured(page, **NAMED)


def test_more_used_than_there_is_is_refused() -> None:
    assert measured("t 5\nu 5\n", total_metric="t", used_metric="u").free_bytes == 0
    with pytest.raises(ValueError, match="t is 5 and u is 6, which cannot be"):
        measured("t 5\nu 6\n", total_metric="t", used_metric="u")


@given(st.text(st.sampled_from('tf{}="a,0159.e+-NI \n\\'), max_size=60))
def test_whatever_is_said_a_capacity_can_be_or_is_refused(page: str) -> None:
    try:
        found = measured(page, **NAMED)
    except ValueError:
        return
    assert 0 <= found.free_bytes <= found.total_bytes < 2**63
    assert found.used_bytes == found.total_bytes - found.free_bytes
    assert found.measured_at <= NOW - RENEWED_EVERY


@pytest.mark.parametrize(
    ("minutes_ago", "age_minutes"),
    [((None, None), 0), ((5, None), 5), ((5, 6), 6), ((-5, None), 0), ((-50_000_000, -5), 0), ((-5, 6), 6)],
)
def test_a_figure_is_as_old_as_it_says_and_never_from_the_future(
    minutes_ago: tuple[int | None, int | None], age_minutes: int
) -> None:
    at = ["" if ago is None else f" {(NOW - timedelta(minutes=ago)).timestamp() * 1000:.0f}" for ago in minutes_ago]

    found = measured(f"t 5{at[0]}\nf 4{at[1]}\n", **NAMED)

    assert abs(NOW - RENEWED_EVERY - timedelta(minutes=age_minutes) - found.measured_at) < timedelta(milliseconds=1)


def test_a_time_before_all_times_makes_a_figure_very_old() -> None:
    assert measured("t 5 -99999999999999999\nf 4\n", **NAMED).measured_at.year < 1971


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"source": "prometheus"}, 'url: found nothing; required by source = "prometheus"'),
        ({"source": "minio"}, 'url: found nothing; required by source = "minio"'),
        ({"url": URL}, 'url: allowed with source = "prometheus" or "minio" only'),
        ({"token_file": "/token"}, 'token_file: allowed with source = "prometheus" or "minio" only'),
        ({"source": "minio", "url": URL, **NAMED}, 'total_metric: allowed with source = "prometheus" only'),
        ({"source": "prometheus", "url": URL, "total_metric": "t"}, "total_metric with either used_metric or free"),
        ({"source": "prometheus", "url": URL, "free_metric": "f"}, "total_metric with either used_metric or free"),
        ({"source": "prometheus", "url": URL, **NAMED, "used_metric": "u"}, "with either used_metric or free_metric"),
        (
            {"source": "prometheus", "url": URL, **NAMED, "free_metric": "f{"},
            "free_metric: found 'f{'; allowed: a metric",
        ),
        ({"source": "prometheus", "url": URL, "max_age_seconds": 60}, "max_age_seconds: allowed: more than 60"),
        ({"source": "prometheus", "url": "ftp://x/"}, "url: allowed: the address of metrics"),
        ({"source": "prometheus", "url": "http://user:secret@x/"}, "url: allowed: the address of metrics"),
        ({"source": "prometheus", "url": "http://x:99999/"}, "url: allowed: the address of metrics"),
        ({"source": "prometheus", "url": "http://[::1/"}, "url: allowed: the address of metrics"),
        ({"source": "prometheus", "url": "http://x/a b"}, "url: allowed: the address of metrics"),
    ],
)
def test_settings_that_make_no_measurement_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|required") as refused:
        CapacitySettings(**settings)
    assert told in str(refused.value)


def test_settings_that_make_one_are_taken() -> None:
    assert CapacitySettings("prometheus", url="https://[::1]:3903/metrics?a=b").is_remote
    assert CapacitySettings("minio", url=URL).is_remote
    assert not CapacitySettings("budget", total_bytes=1).is_remote
    assert not CapacitySettings().is_remote
