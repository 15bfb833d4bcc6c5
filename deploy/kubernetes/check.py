#!/usr/bin/env python3
"""Lints the chart, renders it with Helm's own engine, and compares with the manifests in `manifests/`.

    pip install helm-python-sdk kubernetes-validate
    check.py            # fails when something is wrong or a manifest is stale
    check.py --update   # writes the manifests

Each manifest of a built-in kind is checked against Kubernetes' published schemas, unknown fields refused.
"""
import pathlib
import subprocess
import sys
import tempfile

import helm_python
import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE / "driftline"
# The oldest release that the chart promises to work with and one that is current.
KUBERNETES = ["1.25", "1.34"]
# name of the manifest: values of the release
RENDERED = {
    "gateway": {},
    "gateway-operator": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
    "observer": {"mode": "observer", "config": {"models": {"fraud": {"active": "v2"}}}},
}
EVERYTHING = {
    "replicas": 2,
    "files": {"fraud-baseline.json": "{}\n"},
    "autoscaling": {"enabled": True, "maxReplicas": 3},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "rbac": {"kserve": True},
    "persistence": {"storageClass": "fast"},
    "networkPolicy": {"traffic": {"from": [{"podSelector": {}}]}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "env": [{"name": "KEY", "value": "x"}],
}


def rendered(values):
    chart = helm_python.Chart.load(CHART)
    files = chart.render(chart.merge_values(values), name="driftline", namespace="default", is_install=True)
    texts = [text.strip() for path, text in sorted(files.items()) if path.endswith(".yaml") and text.strip()]
    return "\n---\n".join(texts) + "\n"


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def schemas(text, version):
    """What Kubernetes would refuse of the built-in kinds."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        own = [d for d in documents(text) if d["apiVersion"] != "monitoring.coreos.com/v1"]
        yaml.safe_dump_all(own, file)
        file.flush()
        done = subprocess.run(
            [pathlib.Path(sys.executable).parent / "kubernetes-validate", "--strict", "-k", version, file.name],
            capture_output=True, text=True, check=False,
        )
    return [] if done.returncode == 0 else [f"Kubernetes {version}: {done.stdout}{done.stderr}"]


def main():
    problems = []
    for values in [*RENDERED.values(), EVERYTHING]:
        report = helm_python.lint(CHART, values, strict=True)
        problems += [str(m) for m in report["messages"] if m["severity"] >= 2] + list(report["errors"] or [])
    for name, values in [*RENDERED.items(), ("everything", EVERYTHING)]:
        text = rendered(values)
        for version in KUBERNETES:
            problems += schemas(text, version)
        if name == "everything":
            kinds = {document["kind"] for document in documents(text)}
            wanted = {"HorizontalPodAutoscaler", "ServiceMonitor", "PrometheusRule", "NetworkPolicy",
                      "PodDisruptionBudget", "RoleBinding", "StatefulSet"}
            if not wanted <= kinds:
                problems.append(f"not rendered: {wanted - kinds}")
            continue
        head = f"# Rendered from the chart by `check.py --update`. helm template driftline ./driftline ({name})\n"
        path = HERE / "manifests" / f"{name}.yaml"
        if "--update" in sys.argv:
            path.write_text(head + text)
        if not path.exists() or path.read_text() != head + text:
            problems.append(f"{path.name} is stale: run check.py --update")
    for bad in [{"mode": "both"}, {"replicas": 0}, {"auth": {"existingSecret": ""}}]:
        chart = helm_python.Chart.load(CHART)
        try:
            chart.validate_schema(chart.merge_values(bad))
            problems.append(f"{bad} was accepted")
        except helm_python.HelmError:
            pass
    print("\n".join(problems) or f"chart and manifests are fine (Helm SDK {helm_python.helm_sdk_version()})")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
