"""What a page of metrics says of those that are asked for: exactly what Prometheus's own client reads, or a refusal."""

import math
from string import printable as keys_of_a_keyboard

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from exodus_storage_guard.metrics import Labels, Sample, Selector

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LABEL_NAMES = st.from_regex(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
LABELS = st.dictionaries(LABEL_NAMES, TEXT, max_size=3)
VALUES = st.floats(allow_nan=False, allow_infinity=False)
NAME = "store_bytes"
Known = set[tuple[Labels, float]]


def written(values: dict[str, float]) -> str:
    """Give a page as Prometheus's own client writes it: a value for each volume, and something else around them."""
    registry = CollectorRegistry()
    Gauge("other", 'store_bytes{volume="x"} 7\nstore_bytes 8', registry=registry).set(1)
    gauge = Gauge(NAME, "what is stored", ["volume"], registry=registry)
    for volume, value in values.items():
        gauge.labels(volume).set(value)
    Gauge(f"{NAME}_all", "another metric, whose name begins so", registry=registry).set(2)
    return generate_latest(registry).decode()


def finite(samples: Known) -> Known:
    return {one for one in samples if math.isfinite(one[1])}


def known_to_the_client(page: str) -> Known | None:
    """Give the metric's samples as Prometheus's own client reads them; None where it refuses the page."""
    try:
        families = list(text_string_to_metric_families(page))
    except ValueError:
        return None
    samples = [one for family in families for one in family.samples if one.name == NAME]
    return {(tuple(sorted(one.labels.items())), one.value) for one in samples}


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_every_value_of_a_metric_is_read_as_it_was_written(values: dict[str, float]) -> None:
    page = written(values)

    found = Selector(NAME).samples(page)

    assert {one.labels[0][1]: one.value for one in found} == values
    assert {(one.labels, one.value) for one in found} == known_to_the_client(page)


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=5), st.data())
def test_labels_say_which_samples_are_meant(values: dict[str, float], data: st.DataObject) -> None:
    volume = data.draw(st.sampled_from(sorted(values)))

    found = Selector(NAME, (("volume", volume),)).samples(written(values))

    assert found == [Sample((("volume", volume),), values[volume])]
    assert Selector(NAME, (("volume", volume), ("more", ""))).samples(written(values)) == []


@given(
    st.dictionaries(TEXT, VALUES, min_size=1, max_size=3), st.integers(min_value=0), st.sampled_from('{}",= \n\\1eN')
)
def test_a_page_that_is_damaged_is_read_as_prometheus_would_or_refused(
    values: dict[str, float], at: int, put: str
) -> None:
    page = written(values)
    at %= len(page)
    damaged = page[:at] + put + page[at + 1 :]
    try:
        found = {(one.labels, one.value) for one in Selector(NAME).samples(damaged)}
    except ValueError:
        return

    known = known_to_the_client(damaged)
    assert known is None or finite(known) == finite(found)  # 1e999 is infinite, and +Inf is not read


@given(st.text(), st.text(st.sampled_from(keys_of_a_keyboard)), LABELS)
def test_whatever_a_page_says_there_are_samples_or_a_sentence(before: str, after: str, labels: dict[str, str]) -> None:
    selector = Selector("x", tuple(labels.items()))
    try:
        told = str(selector.samples(f"{before}\nx{after}"))
    except ValueError as error:
        told = str(error)
    assert told.isprintable()


@given(st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", fullmatch=True), LABELS)
def test_a_selector_is_read_as_it_is_written(name: str, labels: dict[str, str]) -> None:
    selector = Selector(name, tuple(labels.items()))

    assert Selector.parse(str(selector)) == selector


@given(st.text())
def test_what_is_no_selector_is_refused_with_what_is_allowed(text: str) -> None:
    try:
        found = Selector.parse(text)
    except ValueError as error:
        told = str(error)
    else:
        told = f"{found.name} is one"
    assert told.startswith(text) or "allowed: a metric's name, or name{label=" in told


@pytest.mark.parametrize(
    "text", ["", "9x", "x y", "x{", "x{a}", "x{a=b}", 'x{a="b"', 'x{a!="b"}', 'x{a="b",a="c"}', 'x{a="b"} 1', "sum(x)"]
)
def test_queries_and_halves_are_no_selectors(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: a metric's name"):
        Selector.parse(text)


@pytest.mark.parametrize(
    ("page", "sample"),
    [
        ("x 1", Sample((), 1)),
        ("\tx  1.5e3 \r", Sample((), 1500)),
        ("x{} 1 1700000000000", Sample((), 1, 1700000000000)),
        ('x{ b = "2" , a="1", } +1 -5', Sample((("a", "1"), ("b", "2")), 1, -5)),
        ('x{a="}\\" 2"} 3', Sample((("a", '}" 2'),), 3)),
        ("# x 1\nx_total 2\nx:y 3\nyx 4\nx 5\n", Sample((), 5)),
    ],
)
def test_a_sample_is_read_however_it_is_spaced(page: str, sample: Sample) -> None:
    assert Selector("x").samples(page) == [sample]


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "x ",
        "x NaN",
        "x +Inf",
        "x 1_0",
        "x \u0661",
        "x 0x10",
        "x 1 2 3",
        "x{a} 1",
        'x{a="1} 1',
        "x 1e",
        "x1e5 x 1 z",
    ],
)
def test_a_sample_that_cannot_be_read_is_not_passed_over(line: str) -> None:
    page = f'x{{a="1"}} 1\n{line}\n'
    if line.startswith("x1"):  # another metric
        assert Selector("x").samples(page) == [Sample((("a", "1"),), 1)]
        return
    with pytest.raises(ValueError, match="a sample cannot be read"):
        Selector("x").samples(page)


def test_a_sample_that_is_there_twice_is_not_added_up() -> None:
    with pytest.raises(ValueError, match="two samples with the same labels"):
        Selector("x").samples('x{a="1",b="2"} 1\nx{b="2",a="1"} 1\n')
