#!/usr/bin/env python3
"""Checks compose.yaml against the Compose specification, unknown keys refused, and the Terraform examples' syntax.

    pip install compose-spec python-hcl2 pyyaml
"""
import pathlib
import sys

import compose_spec
import hcl2
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[1]


def read(text):
    data = yaml.safe_load(text)
    # Extensions are anchors of the file, not keys of the specification.
    return {key: value for key, value in data.items() if not key.startswith("x-")}


def check(data):
    compose_spec.ComposeSpecification.model_validate(data, extra="forbid")


def main():
    stack = read((DEPLOY / "compose/compose.yaml").read_text())
    check(stack)
    for bad in [{"services": {"a": {"imagee": "x"}}}, {"services": {"a": {"image": 1}}}, {"servces": {}}]:
        try:
            check(bad)
        except ValueError:
            continue
        sys.exit(f"{bad} was accepted")
    for file in sorted(DEPLOY.glob("*/*.tf")):
        with file.open() as text:
            blocks = hcl2.load(text)
        assert "terraform" in blocks and "variable" in blocks, file
    print(f"{len(stack['services'])} services are as the Compose specification wants them")


if __name__ == "__main__":
    main()
