"""The table that a measurement prints: rows of work, each with what ours took or reached, the best of the others, and a bar."""

import json
import os
import statistics


class Row:
    """One line. `ratio` is to be at most `bar`, or at least where `at_least`; without a bar it is shown only."""

    def __init__(self, name, work, unit, measured, peer, peer_name, ratio, bar, at_least=False, spread=None, raw=None):
        self.name, self.work, self.unit = name, work, unit
        self.measured, self.peer, self.peer_name = measured, peer, peer_name
        self.ratio, self.bar, self.at_least, self.spread, self.raw = ratio, bar, at_least, spread, raw or {}
        self.passed = bar is None or (ratio >= bar if at_least else ratio <= bar)

    def print(self):
        scale, unit = (1000, "ms") if self.unit == "s" and self.measured < 0.1 else (1, self.unit)
        peer = f"{self.peer * scale:10.3f} {self.peer_name}" if self.peer is not None else " " * 10
        spread = f"{self.spread * 100:.0f} %" if self.spread is not None else "-"
        print(f"{self.work:<57} {self.measured * scale:10.3f} {unit:<6} {peer:<21} {self.ratio:8.3f} "
              f"{self.limit:<9} {'-' if self.bar is None else 'pass' if self.passed else 'MISS':<5} {spread:>6}")

    @property
    def limit(self):
        return "" if self.bar is None else f"{'>=' if self.at_least else '<='} {self.bar:g}"

    @staticmethod
    def print_head():
        print(f"\n{'':<57} {'ours':>10} {'':<6} {'best other':>10} {'':<10} {'ratio':>8} {'bar':<9} {'':<5} {'spread':>6}")

    def as_json(self):
        return {
            "row": self.name, "work": self.work, "unit": self.unit, "ours": self.measured, "bestOther": self.peer,
            "bestOtherName": self.peer_name or None, "ratio": self.ratio, "bar": self.bar,
            "atLeast": self.at_least, "pass": self.passed, "spread": self.spread, "rounds": self.raw,
        }


def spread(values):
    """How far the rounds lie apart, as a part of their median."""
    return (max(values) - min(values)) / statistics.median(values)


def take_turns(programs, rounds, prepare=None, check=None):
    """Runs all programs round after round, another one first each time: what each answered. `prepare` goes before every run,
    `check` behind the first of each program; both are given its name."""
    results = {program: [] for program in programs}
    for number in range(rounds):
        order = list(programs)
        first = number % len(order)
        for program in order[first:] + order[:first]:
            if prepare:
                prepare(program)
            results[program].append(programs[program]())
            if number == 0 and check:
                check(program)
    return results


class Part:
    """Some rows of the table: those that stand on the same things. `works` says what each row is, by its name."""

    works = {}

    def __init__(self, rig, options, wanted):
        self.rig, self.rounds, self.quick = rig, options.rounds, options.quick
        self.wanted = set(wanted) & set(self.works)
        self.rows = []

    def add(self, name, *arguments, **more):
        self.rows.append(Row(name, self.works[name], *arguments, **more))
        print(f"  measured: {self.works[name]}", flush=True)

    def add_best(self, name, values, bar, unit="s", scale=1, ours="ucopyd", at_least=False):
        """A row of ours beside the best of all others: the fastest, in rates or in times."""
        medians = {program: statistics.median(runs) * scale for program, runs in values.items()}
        best = (max if at_least else min)((program for program in medians if program != ours), key=medians.get)
        self.add(name, unit, medians[ours], medians[best], best, medians[ours] / medians[best], bar, at_least=at_least,
                 spread=spread(values[ours]), raw=values)


def write_json(path, rows, **head):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as file:
        json.dump(head | {"rows": [row.as_json() for row in rows]}, file, indent=2)
        file.write("\n")
    print(f"\nall rounds: {path}")
