"""Prints lists of switches as empusa does. Reads JSON from stdin: a list of lists of [name, value].
Writes JSON: for each of them its table and its JSON."""

import json
import sys

import tabulate


def table(switches):
    rows = [["Switch", "Value", "TTL"]] + [[name, value, None] for name, value in switches]
    return tabulate.tabulate(rows, tablefmt="psql", headers="firstrow")


def as_json(switches):
    return json.dumps(
        [{"switch": name, "value": value, "ttl": None} for name, value in switches]
    )


print(json.dumps([[table(s), as_json(s)] for s in json.load(sys.stdin)]))
