"""options.py PROGRAMS DOCS: every long option that a program's --help shows stands in its manual page, and no other does.

PROGRAMS is the folder of the programs, DOCS the folder under which their pages are.
"""

import json
import pathlib
import re
import subprocess
import sys

PAGES = ("ucopyd", "ucopyctl")  # NAME.1 or NAME.8
# A page may name these without --help showing them: the argument parser adds them to every program.
BUILT_IN = {"--generate-completion-script"}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commands(tree, path=()):
    """The paths of all commands of a program that its help shows."""
    yield path
    for sub in tree.get("subcommands", []):
        if sub["commandName"] != "help" and sub.get("shouldDisplay", True):
            yield from commands(sub, path + (sub["commandName"],))


def options_of_help(program):
    tree = json.loads(run(program, "--experimental-dump-help"))["command"]
    found = set()
    for path in commands(tree):
        found |= set(OPTION.findall(run(program, *path, "--help")))
    return found


def options_of_page(page):
    text = run("mandoc", "-T", "ascii", "-O", "width=1000", str(page))
    return set(OPTION.findall(re.sub(".\b", "", text)))


def main():
    programs, docs = (pathlib.Path(argument) for argument in sys.argv[1:3])
    wrong = []
    for name in PAGES:
        pages = sorted(docs.rglob(f"{name}.[18]"))
        if not pages:
            wrong.append(f"{docs}: no page of {name}")
            continue
        shown = options_of_help(str(programs / name))
        written = options_of_page(pages[0])
        wrong += [f"{pages[0]}: {option} is missing: {name} --help shows it" for option in sorted(shown - written)]
        wrong += [
            f"{pages[0]}: {option}: {name} --help does not show it" for option in sorted(written - shown - BUILT_IN)
        ]
        print(f"{name}: {len(shown)} options")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main())
