"""The rules as an object of the Prometheus operator, made of the file for a plain Prometheus.

`python tests/manifests/prometheus_rule.py` writes it; `test_monitoring` checks that this was done.
"""

from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

DIRECTORY = Path(__file__).parents[2] / "manifests" / "monitoring"
RULES = DIRECTORY / "rules.yaml"
OBJECT = DIRECTORY / "prometheus-rule.yaml"

HEADER = """\
# Made of rules.yaml by tests/manifests/prometheus_rule.py: change that file, and run this one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: snapshotter
  namespace: default
  labels:
    app.kubernetes.io/name: snapshotter
    app.kubernetes.io/part-of: snapshotter
spec:
"""


def rules() -> tuple[dict[str, Any], ...]:
    """All rules in their order: those that record (`record`) and those that alert (`alert`)."""
    return tuple(rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"])


def rendered() -> str:
    _, found, groups = RULES.read_text().partition("\ngroups:\n")
    return HEADER + indent(found.lstrip("\n") + groups, "  ")


if __name__ == "__main__":
    OBJECT.write_text(rendered())
