"""What we do in the cluster, as the rules of Roles; the chart renders the same ones.

Both are namespaced: nothing here reads nodes, secrets or other namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping

Rule = Mapping[str, tuple[str, ...]]
"""One rule of a Role: ``apiGroups``, ``resources``, ``verbs``."""

WORKER_RULES: tuple[Rule, ...] = (
    {"apiGroups": ("",), "resources": ("pods",), "verbs": ("patch",)},
)
"""Of a worker: the deletion cost of its own pod.

RBAC knows no "own pod": a Role can name pods, and the names of a Deployment's are not known before.
"""

OPERATOR_RULES: tuple[Rule, ...] = (
    {"apiGroups": ("",), "resources": ("pods",), "verbs": ("list", "patch", "delete")},
    {"apiGroups": ("apps",), "resources": ("deployments",), "verbs": ("list",)},
    {"apiGroups": ("apps",), "resources": ("deployments/scale",), "verbs": ("patch",)},
    {"apiGroups": ("keda.sh",), "resources": ("scaledobjects",), "verbs": ("list", "patch")},
)
"""Of whoever runs ``onescan pool`` and its verbs, in the namespace of the deployment."""

DCGM_RULES: tuple[Rule, ...] = (
    {"apiGroups": ("",), "resources": ("pods",), "verbs": ("list",)},
    {"apiGroups": ("",), "resources": ("pods/proxy",), "verbs": ("get",)},
)
"""Of whoever reads dcgm-exporter without a Prometheus, in the exporter's namespace."""


def allows(rules: tuple[Rule, ...], verb: str, group: str, resource: str) -> bool:
    """Say whether rules let somebody do this, as RBAC judges."""
    return any(
        group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
        for rule in rules
    )
