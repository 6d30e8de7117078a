#!/usr/bin/env python3
"""failures.py LOG [LINES]: the lines of a step's output that say what failed and why, LINES of them at most."""

import re
import sys

WIDTH = 300
PROGRESS = re.compile(r"^[◇✔➜] ")
STARTED = re.compile(r"^◇ (Test (?!run |case ).+) started\.$")
ENDED = re.compile(r"^[✔✘] (Test .+?)(?: with \d+ test cases?)? (?:passed|failed|was cancelled) after ")
# What swift-testing, XCTest, the compiler and other tools say of something that is wrong, and what they add on the next lines.
ISSUE = re.compile(r"recorded an issue|\berror: (?!.*unexpected signal)|undefined (reference|symbol)|^\w*(Error|Exception): ")
DETAIL = re.compile(r"^(↳ (?!///)|±)\s*\S")
# A crash, a hang, or what a sanitizer found, and the lines of a backtrace that lead into this package.
CRASH = re.compile(
    r"Fatal error|unexpected signal|Program crashed|: stopped after \d+ seconds|ime limit was exceeded"
    r"|(ERROR|SUMMARY): \w+Sanitizer|WARNING: ThreadSanitizer"
)
FRAME = re.compile(r"\b(Sources|Tests)/\w+/.*:\d+")


def chosen(lines):
    """The lines worth showing, those that say most first. Of the issues of one test, which may have many cases, only the first."""
    issues, crashes, failed, started, issues_of = [], [], [], {}, {}
    details = frames = 0
    for line in lines:
        if details and DETAIL.search(line):
            issues.append("  " + line)
            details -= 1
            continue
        details = 0
        if match := STARTED.search(line):
            started[match[1]] = True
        if match := ENDED.search(line):
            started.pop(match[1], None)
        if PROGRESS.search(line):
            continue
        if CRASH.search(line):
            crashes.append(line)
            frames = 4
        elif ISSUE.search(line):
            test = line.split(" recorded an issue")[0]
            issues_of[test] = issues_of.get(test, 0) + 1
            if issues_of[test] == 1:
                issues.append(line)
                details = 2
        elif line.startswith("✘ Test "):
            failed.append(line)
        elif frames and FRAME.search(line):
            crashes.append(line)
            frames -= 1
    # What hangs is one of the tests that began and did not end; after a crash these can be hundreds.
    open_ended = [f"did not end: {name}" for name in started]
    if len(open_ended) > 12:
        open_ended = [f"{len(open_ended)} tests did not end"]
    silent = [line for line in failed if not any(issue.startswith(line.split(" failed after")[0]) for issue in issues)]
    return [*issues, *crashes, *open_ended, *silent]


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        lines = [line.rstrip() for line in file if line.strip()]
    limit = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    picked = chosen(lines) or lines[-10:]
    if len(picked) > limit:
        picked[limit - 1 :] = [f"and {len(picked) - limit + 1} lines more"]
    for line in picked:
        # What is said in the middle, paths and bytes, is what can be done without.
        print(line if len(line) <= WIDTH else f"{line[: WIDTH - 123]} … {line[-120:]}")


main()
