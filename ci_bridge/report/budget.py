"""Fits ranked sections into a budget: the least valuable shrink first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ci_bridge.report.sections import Section

_SHRINKING = (
    ("remarks", "entries"),
    ("system", "entries"),
    ("metrics", "entries"),
    ("slowest", "entries"),
    ("groups", "details"),
    ("known", "details"),
    ("flaky", "details"),
    ("slower", "entries"),
    ("fixed", "entries"),
    ("unjudged", "details"),
    ("known", "entries"),
    ("new", "details"),
    ("groups", "entries"),
    ("flaky", "entries"),
    ("unjudged", "entries"),
    ("new", "entries"),
    ("problems", "entries"),
)
"""What gives way, the least valuable first: long texts, then lines."""

_SHORTEST_DETAILS = 200


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a section is shown: lines, and characters of each line's long text."""

    entries: int
    details: int = 0


def size_of(text: str, unit: str) -> int:
    """Size of a text in ``characters`` (code points) or ``bytes`` of UTF-8."""
    return len(text) if unit == "characters" else len(text.encode("utf-8", "replace"))


def fit(
    sections: Sequence[Section],
    quotas: Mapping[str, Quota],
    render: Callable[[Mapping[str, Quota]], str],
    fits: Callable[[str], bool],
) -> str | None:
    """Render the richest version that fits.

    Args:
        sections: What there is.
        quotas: Key -> what is shown where the budget allows it; sections without one are left out.
        render: Renders with given quotas.
        fits: True if a rendering is small enough.

    Returns:
        The text, or None if even the poorest version does not fit.
    """
    plans = list(_plans(sections, quotas))
    if fits(text := render(plans[0])):
        return text
    low, high = 0, len(plans)  # plans[low] does not fit; plans[high] fits, or is the end
    best: str | None = None
    while high - low > 1:
        middle = (low + high) // 2
        if fits(text := render(plans[middle])):
            high, best = middle, text
        else:
            low = middle
    return best


def _plans(sections: Sequence[Section], quotas: Mapping[str, Quota]) -> list[dict[str, Quota]]:
    totals = {section.key: section.total for section in sections}
    plan = {
        key: replace(quota, entries=min(quota.entries, totals[key])) for key, quota in quotas.items() if key in totals
    }
    plans = [dict(plan)]
    for key, what in _SHRINKING:
        while key in plan and getattr(plan[key], what):
            value = getattr(plan[key], what) // 2
            if what == "details" and value < _SHORTEST_DETAILS:
                value = 0
            plan[key] = replace(plan[key], **{what: value})
            plans.append(dict(plan))
    return plans
