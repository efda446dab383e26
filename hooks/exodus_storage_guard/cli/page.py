"""Show the store as one HTML page that needs nothing else: figures, and plots as inline SVG; pure functions."""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from exodus_common.render import instant, printable
from exodus_storage_guard.model import HistoryEvent, ObjectState, Total, Watermarks
from exodus_storage_guard.sizes import shown
from exodus_storage_guard.status import Status

_WIDTH, _HEIGHT, _BAR = 720, 220, 18
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:760px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left}.ok{color:#060}.warning{color:#a60}"
    ".critical{color:#b00}svg{width:100%;height:auto}"
)
_MARKS = (("low", "#393"), ("high", "#c80"), ("flood", "#c00"))


def page(found: Status, samples: Sequence[tuple[datetime, int]], events: Sequence[HistoryEvent], now: datetime) -> str:
    """Give the page: the verdict, what was used over the last days, objects by state, and what was done last."""
    parts = [
        f"<h1>Storage guard</h1><p>{_text(instant(now))}</p>",
        f'<p class="{found.verdict.value}"><b>{found.verdict.value.upper()}</b>: {_text(found.reason)}</p>',
        f"<p>Full at the present rate: {_text(instant(found.full_at)) if found.full_at else 'not foreseen'}</p>",
        "<h2>Used</h2>",
        _used(samples, found.watermarks, found.capacity.total_bytes if found.capacity else 0),
        "<h2>Objects</h2>",
        _states(found),
        "<h2>Done last</h2>",
        _table(("at", "event", "key", "size", "why"), [_event(one) for one in events]),
    ]
    head = f'<meta charset="utf-8"><title>Storage guard</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _text(text: str) -> str:
    return escape(printable(text)).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _used(samples: Sequence[tuple[datetime, int]], marks: Watermarks | None, total_bytes: int) -> str:
    """Draw what was used as a line over time, between nothing and all, with the watermarks."""
    if len(samples) < 2 or marks is None or not total_bytes:
        return "<p>There are not two measurements yet.</p>"
    begin, end = samples[0][0], samples[-1][0]
    seconds = max(1.0, (end - begin).total_seconds())

    def height(size: int) -> float:
        return _HEIGHT * (1 - min(1.0, size / total_bytes))

    def right(at: datetime) -> float:
        return _WIDTH * (at - begin).total_seconds() / seconds

    def mark(name: str, colour: str, y: float) -> str:
        line = f'<line x1="0" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-dasharray="4">'
        return f"{line}<title>{name}</title></line>"

    points = " ".join(f"{right(at):.1f},{height(used):.1f}" for at, used in samples)
    lines = "".join(mark(name, colour, height(getattr(marks, f"{name}_bytes"))) for name, colour in _MARKS)
    drawn = f'<polyline fill="none" stroke="#036" stroke-width="2" points="{points}"/>'
    label = f"from {instant(begin)} to {instant(end)}, of {shown(total_bytes)}"
    picture = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="used">{lines}{drawn}</svg>'
    return f"{picture}<p>{_text(label)}</p>"


def _states(found: Status) -> str:
    """Draw the bytes in each state as a bar."""
    present = [(state, found.objects[state]) for state in ObjectState if found.objects.get(state, Total()).count]
    most = max((total.bytes for _, total in present), default=0) or 1
    rows = "".join(
        f"<tr><td>{state.value}</td><td>{total.count}</td><td>{shown(total.bytes)}</td>"
        f'<td><svg viewBox="0 0 300 {_BAR}" style="width:300px">'
        f'<rect width="{300 * total.bytes / most:.0f}" height="{_BAR}" fill="#69c"/></svg></td></tr>'
        for state, total in present
    )
    return f"<table><tr><th>state<th>count<th>size<th></tr>{rows}</table>"


def _event(one: HistoryEvent) -> tuple[str, ...]:
    return (instant(one.at), one.event, one.key, shown(one.bytes), one.reason)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{header}" for header in headers)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
