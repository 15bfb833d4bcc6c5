#!/usr/bin/env python3
"""Checks InferenceServices against the types of KServe's own Python package: unknown fields and wrong types are refused.

    pip install --no-deps kserve      # the types are read from its files; nothing of it is run
    kserve.py

Looks at the InferenceServices of `kubernetes/examples/`, and at every field that Driftline's actuator reads and writes. This is
what the schema says, not a cluster: admission webhooks and the modes of deployment are not in it.
"""
import ast
import importlib.metadata
import pathlib
import re
import sys

import yaml

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "kubernetes/examples"
ROOT_TYPE = "V1beta1InferenceService"
SIMPLE = {"str": str, "int": int, "bool": bool, "float": (int, float)}
# What `crates/actions/src/actuators/kserve.rs` reads and writes; `*` is an entry of a list or map.
ACTUATOR = [
    "spec.predictor.canaryTrafficPercent",
    "spec.canary.*.predictor.name",
    "spec.canary.*.trafficPercent",
    "status.components.*.traffic",
    "status.canaryStatuses.*.name",
    "status.canaryStatuses.*.trafficPercent",
]


def types():
    """Every type by name: JSON key to type."""
    found = {}
    for file in importlib.metadata.files("kserve"):
        if "models" not in file.parts or file.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(file.locate().read_text())):
            if isinstance(node, ast.ClassDef):
                tables = {target.id: ast.literal_eval(part.value) for part in node.body if isinstance(part, ast.Assign)
                          for target in part.targets if target.id in ("openapi_types", "attribute_map")}
                if len(tables) == 2:
                    keys = tables["attribute_map"]
                    found[node.name] = {keys[name]: kind for name, kind in tables["openapi_types"].items()}
    return found


def inner(kind):
    """The type of the entries of a list or map."""
    entries = re.fullmatch(r"list\[(.+)\]|dict\(str, (.+)\)", kind)
    return entries and (entries[1] or entries[2])


def problems(value, kind, known, place):
    if kind in SIMPLE:
        fits = isinstance(value, SIMPLE[kind]) and not (kind == "int" and isinstance(value, bool))
        return [] if fits else [f"{place}: expected {kind}, found {value!r}"]
    if inner(kind):
        if not isinstance(value, list if kind.startswith("list") else dict):
            return [f"{place}: expected {kind}, found {value!r}"]
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        return [p for key, entry in entries for p in problems(entry, inner(kind), known, f"{place}.{key}")]
    if kind not in known:
        # Kubernetes' own; its schemas are another check's business.
        return []
    if not isinstance(value, dict):
        return [f"{place}: expected {kind}, found {value!r}"]
    found = []
    for key, entry in value.items():
        if key in known[kind]:
            found += problems(entry, known[kind][key], known, f"{place}.{key}")
        else:
            found.append(f"{place}: {kind} has no `{key}`")
    return found


def missing(path, known):
    """Where a path leaves the types, if it does."""
    kind = ROOT_TYPE
    for part in path.split("."):
        following = inner(kind) if part == "*" else known.get(kind, {}).get(part)
        if not following:
            return [f"{path}: {kind} has no `{part}`"]
        kind = following
    return []


def main():
    known = types()
    services = [(file.name, document) for file in sorted(EXAMPLES.glob("*.yaml")) for document in yaml.safe_load_all(file.read_text())
                if document and document.get("kind") == "InferenceService"]
    found = [] if services else ["there is no InferenceService to check"]
    for name, service in services:
        found += problems(service, ROOT_TYPE, known, name)
        # The check itself: what is wrong is seen.
        broken = {**service, "spec": {"predictor": {"canaryTrafficPercent": "10", "storageURI": "s3://x"}}}
        if len(problems(broken, ROOT_TYPE, known, name)) != 2:
            found.append("a wrong type and an unknown field were not seen")
    for path in ACTUATOR:
        found += missing(path, known)
    version = importlib.metadata.version("kserve")
    print("\n".join(found) or f"{len(services)} InferenceService and the actuator's fields are as KServe {version} has them")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
