"""Is this dashboard one by Grafana's own types? Reads it, writes it, and tells what got lost on the way: what Grafana does not know."""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(ours, theirs, place):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs[key], f"{place}.{key}") if key in theirs else [f"{place}.{key}"]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs)):
            yield from lost(*pair, f"{place}[{index}]")
    elif ours != theirs:
        yield f"{place}: {ours!r} is read as {theirs!r}"


plugins.register_default_plugins()
with open(sys.argv[1], encoding="utf-8") as file:
    dashboard = json.load(file)
if "--spoil" in sys.argv:
    dashboard["panels"][1]["titel"] = "?"
faults = list(lost(dashboard, json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard))), ""))
print("\n".join(faults))
sys.exit(1 if faults else 0)
