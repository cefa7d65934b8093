"""What a study found: `summary.json`, a figure and a README with its table, all from the cells that are there.

Cells of different seeds are one setting where all seeds of the reference are there; a setting that lacks one waits.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from cells import Bench, CellRecord
from grid import Grid, named

from speciate.evals.fronts import AtGain, Comparison, Setting, compared
from speciate.evals.hierarchical import hierarchical_bootstrap
from speciate.evals.multiplicity import holm
from speciate.storage import write_json, write_text

Found = Mapping[str, CellRecord]


def show(grid: Grid, out: Path, found: Found) -> None:
    """Write all three; nothing where the reference has no whole setting yet."""
    if not (out / "items.json").exists():
        return
    bench = Bench.model_validate_json((out / "items.json").read_text())
    seeds = [seed for seed in grid.seeds if whole(grid, found, grid.reference, seed)]
    if not seeds:
        return
    tried = {name: rates for name in grid.methods if (rates := whole_rates(grid, found, name, seeds))}
    settings = {name: [setting(bench, found, name, rate, seeds) for rate in rates] for name, rates in tried.items()}
    result = compared(settings, grid.reference, bench.niche.families, bench.general.families)
    rows = {name: row(grid, bench, found, name, rates, seeds, result) for name, rates in tried.items()}
    adjust(rows, result)
    diverged = sorted(name for name, one in found.items() if one.ended == "diverged")
    summary: dict[str, Any] = {
        "title": grid.title,
        "recipe": grid.recipe,
        "seeds": seeds,
        "niche_items": len(bench.niche.families),
        "general_items": len(bench.general.families),
        "gain": result.gain,
        "reference": grid.reference,
        "methods": rows,
        "cells": len(found),
        "diverged": diverged,
        "versions": next((one.versions for one in found.values() if one.versions), {}),
    }
    write_json(out / "summary.json", summary)
    write_text(out / "front.svg", figure(grid, summary))
    write_text(out / "README.md", readme(summary))


def whole(grid: Grid, found: Found, method: str, seed: int) -> bool:
    """Whether a method has all of its rates with a seed."""
    return all(named(method, rate, seed) in found for rate in grid.methods[method].learning_rates)


def whole_rates(grid: Grid, found: Found, method: str, seeds: list[int]) -> list[float]:
    """The rates that were trained with all seeds, where the method was tried at all of its rates with all of them."""
    if not all(whole(grid, found, method, seed) for seed in seeds):
        return []
    return [
        rate
        for rate in grid.methods[method].learning_rates
        if all(found[named(method, rate, seed)].ended == "trained" for seed in seeds)
    ]


def setting(bench: Bench, found: Found, method: str, rate: float, seeds: list[int]) -> Setting:
    """What changed of every item."""
    runs = [found[named(method, rate, seed)] for seed in seeds]
    niche, general = numbers([run.niche for run in runs]), numbers([run.general for run in runs])
    return Setting(niche - numbers([bench.base_niche]), numbers([bench.base_general]) - general)


def numbers(bits: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Digits as numbers, a row for each string."""
    return np.array([[float(digit) for digit in row] for row in bits])


def row(
    grid: Grid, bench: Bench, found: Found, method: str, rates: list[float], seeds: list[int], result: Comparison
) -> dict[str, Any]:
    """All that is known of one method."""
    at: AtGain = result.reference if method == grid.reference else result.methods[method]
    points = [point(bench, found, method, rate, seeds) for rate in rates]
    best = max(points, key=lambda one: one["dev_niche"])
    return {
        "says": grid.methods[method].says,
        "points": points,
        "rate_by_dev": best["learning_rate"],
        "at_gain": told(at),
        "tokens_per_second": round(float(np.mean([
            found[named(method, rate, seed)].trained_tokens_per_second for rate in rates for seed in seeds
        ])), 1),
    }  # fmt: skip


def told(at: AtGain) -> dict[str, Any]:
    """As JSON has it: null for an end that is not there."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return {name: plain(value) for name, value in asdict(at).items()}


def point(bench: Bench, found: Found, method: str, rate: float, seeds: list[int]) -> dict[str, Any]:
    """One method at one rate, over seeds, with intervals."""
    runs = [found[named(method, rate, seed)] for seed in seeds]
    niche, general = [numbers([getattr(run, role) for run in runs]) for role in ("niche", "general")]
    gain = hierarchical_bootstrap(numbers([bench.base_niche]), niche, bench.niche.families)
    change = hierarchical_bootstrap(numbers([bench.base_general]), general, bench.general.families)
    return {
        "learning_rate": rate,
        "gain": float(niche.mean() - numbers([bench.base_niche]).mean()),
        "gain_ci95": list(gain),
        "forgetting": float(numbers([bench.base_general]).mean() - general.mean()),
        "forgetting_ci95": [-change[1], -change[0]],
        "nats": float(np.mean([run.nats or 0.0 for run in runs])),
        "kl_niche": float(np.mean([run.drift.get("niche", 0.0) for run in runs])),
        "kl_general": float(np.mean([run.drift.get("general", 0.0) for run in runs])),
        "dev_niche": float(np.mean([run.dev_niche or 0.0 for run in runs])),
        "gain_of_seeds": [float(one) for one in niche.mean(axis=1) - numbers([bench.base_niche]).mean()],
        "forgetting_of_seeds": [float(one) for one in numbers([bench.base_general]).mean() - general.mean(axis=1)],
    }


def adjust(rows: dict[str, dict[str, Any]], result: Comparison) -> None:
    """Put Holm's adjusted p-values beside the others."""
    known = {name: one.p_value for name, one in result.methods.items() if one.p_value is not None}
    for name, adjusted in zip(known, holm(list(known.values())), strict=True):
        rows[name]["at_gain"]["p_holm"] = adjusted


def figure(grid: Grid, summary: dict[str, Any]) -> str:
    """The plane of gain and forgetting, a line for each method through its rates."""
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FormatStrFormatter

    with mpl.rc_context({"svg.hashsalt": "speciate", "svg.fonttype": "none", "font.size": 9}):
        drawing = Figure(figsize=(8, 5.2), layout="constrained")
        axes = drawing.subplots()
        marks = "osD^v<>pPXh*dHs8"
        # Ten colours that can be told from white; marks tell apart what shares one.
        colours = [mpl.colormaps["tab10"](place) for place in range(10)]
        for number, (name, one) in enumerate(summary["methods"].items()):
            points = sorted(one["points"], key=lambda each: each["learning_rate"])
            gains = [100 * each["gain"] for each in points]
            losses = [100 * each["forgetting"] for each in points]
            colour = "black" if name == grid.reference else colours[number % len(colours)]
            axes.plot(losses, gains, marker=marks[number % len(marks)], color=colour, lw=1, ms=5, label=name)
            across, up = (beside(points, what) for what in ("forgetting", "gain"))
            axes.errorbar(losses, gains, xerr=across, yerr=up, fmt="none", ecolor=colour, alpha=0.4, lw=0.8)
        axes.axhline(100 * summary["gain"], color="grey", lw=0.8, ls=":")
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_locator(FixedLocator([-10, -3, -1, 0, 1, 3, 10, 30, 100]))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.set_xlabel("forgetting in points, with 95% intervals (linear below 1, then logarithmic)")
        axes.set_ylabel("gain on the niche in points, with 95% intervals")
        axes.set_title(f"{summary['title']}: {len(summary['seeds'])} seeds")
        axes.grid(visible=True, lw=0.3)
        axes.legend(fontsize=8, loc="lower right")
        written = io.StringIO()
        drawing.savefig(written, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def beside(points: list[dict[str, Any]], what: str) -> list[list[float]]:
    """How far the ends of each interval are below and above, in points."""
    return [
        [100 * abs(each[what] - each[f"{what}_ci95"][end]) for each in points]
        for end in (0, 1)
    ]  # fmt: skip


def readme(summary: dict[str, Any]) -> str:
    """The table and what its words mean."""
    lines = [
        f"# {summary['title']}",
        "",
        "Made by `uv run python evals/studies/forgetting.py` from `evals/studies/forgetting.yaml`; the cells are in "
        "`cells/`, all figures with more digits in `summary.json`.",
        "",
        f"{len(summary['seeds'])} seeds ({', '.join(map(str, summary['seeds']))}), {summary['niche_items']} items of "
        f"the niche, {summary['general_items']} general items, {summary['cells']} runs. Compared at G* = "
        f"{100 * summary['gain']:.1f} points of gain, 95% of the best of `{summary['reference']}`.",
        "",
        "![Gain against forgetting, a line for each method](front.svg)",
        "",
        "| method | best gain | at G*: forgets (points) | rho: of the reference's forgetting removed | p (Holm) "
        "| rate by dev: gain / forgets | nats/token | tokens/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    order = sorted(
        summary["methods"].items(),
        key=lambda one: (one[1]["at_gain"]["forgetting"] is None, one[1]["at_gain"]["forgetting"] or 0.0),
    )
    for name, one in order:
        at = one["at_gain"]
        best = max(each["gain"] for each in one["points"])
        chosen = next(each for each in one["points"] if each["learning_rate"] == one["rate_by_dev"])
        if at["forgetting"] is None:
            forgets, removed = "never gains as much", ""
        else:
            low, high = at["forgetting_ci95"]
            forgets = f"{100 * at['forgetting']:.2f} ({points(low)} to {points(high)})"
            removed = (
                f"{100 * at['removed']:.0f}% ({share(at['removed_ci95'][0])} to {share(at['removed_ci95'][1])})"
                if at["removed"] is not None and name != summary["reference"]
                else "reference"
                if name == summary["reference"]
                else "not defined"
            )
        p_value = f"{at['p_holm']:.4f}" if at.get("p_holm") is not None else ""
        lines.append(
            f"| `{name}`: {one['says']} | {100 * best:.1f} | {forgets} | {removed} | {p_value} | "
            f"{chosen['learning_rate']:g}: {100 * chosen['gain']:.1f} / {100 * chosen['forgetting']:.2f} | "
            f"{chosen['nats']:.4f} | {one['tokens_per_second']:.0f} |"
        )
    lines += [
        "",
        "Forgetting at G* is read off the front of each method over its learning rates, by lines between neighbours. "
        "In brackets: 95% intervals over seeds and items, the front drawn anew each time; a draw in which a method "
        "does not reach G* counts as the worst that can be (no end is then given). rho is not defined where the "
        "reference's own forgetting is not above 0 for sure. p is one-sided, of forgetting no less than the reference.",
    ]
    if summary["diverged"]:
        lines += ["", f"Diverged, and not in the fronts: {', '.join(summary['diverged'])}."]
    lines += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in summary["versions"].items()) + "."]
    return "\n".join(lines) + "\n"


def points(value: float | None) -> str:
    """A loss in points, or that there is none."""
    return "none" if value is None else f"{100 * value:.2f}"


def share(value: float | None) -> str:
    """A share in percent, or that there is none."""
    return "none" if value is None else f"{100 * value:.0f}%"
