"""What the chart refuses before anything is made, each with one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import template

GPU = {"resource": "nvidia.com/gpu"}
ONE = {"api": {"replicas": 1, "autoscaling": {"enabled": False}}}
FOLDER = {"objects": {"kind": "folder"}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "grace too short": (
        {"pools": {"main": {"terminationGracePeriodSeconds": 390}}},
        "pools.main.terminationGracePeriodSeconds is 390, and has to be more than 390:"
        " worker.studyTimeoutSeconds (300), worker.drainSeconds (60) and"
        " triton.exitTimeoutSeconds (30) together.",
    ),
    "grace of the default too short for a longer study": (
        {"worker": {"studyTimeoutSeconds": 900}},
        "pools.main.terminationGracePeriodSeconds is 420, and has to be more than 990:",
    ),
    "a pool without checks": (
        {"pools": {"main": {"checks": []}}},
        "pools.main.checks is empty: a pool that serves no check takes no work",
    ),
    "a pool without lanes": (
        {"pools": {"main": {"lanes": []}}},
        "pools.main.lanes is empty: a pool that takes from no lane takes no work.",
    ),
    "a check that nobody has": (
        {"pools": {"main": {"checks": ["liver", "knee"]}}},
        "pools.main.checks has knee, which is none of checks (aorta, bone,",
    ),
    "a check that no pool serves": (
        {"pools": {"main": {"checks": ["liver"]}}, "checks": ["liver", "aorta"]},
        "checks has aorta, which no pool serves: its orders would wait for ever.",
    ),
    "no pool serves all": (
        {
            "checks": ["liver", "aorta"],
            "pools": {
                "main": {"checks": ["liver"]},
                "other": {"gpu": GPU, "checks": ["aorta"]},
            },
        },
        "No pool serves all checks on the lane stat: a screening goes whole to one pool",
    ),
    "no pool serves all on one lane": (
        {"pools": {"main": {"lanes": ["stat", "routine"]}}},
        "No pool serves all checks on the lane backfill:",
    ),
    "no pool": ({"pools": {"main": {"enabled": False}}}, "pools has no pool that is enabled"),
    "no GPU resource": (
        {"pools": {"main": {"gpu": {"resource": ""}}}},
        "pools.main is a pool of GPUs without gpu.resource: name what the device plugin offers",
    ),
    "several slices": (
        {"pools": {"main": {"gpu": {"resource": "nvidia.com/gpu.shared", "count": 2}}}},
        "pools.main.gpu.count is 2 of nvidia.com/gpu.shared: several time slices are no more",
    ),
    "zero without autoscaling": (
        {"pools": {"main": {"replicas": {"min": 0}}}},
        "pools.main.replicas.min is 0 without autoscaling: nothing would ever start it",
    ),
    "more at least than at most": (
        {"autoscaling": {"enabled": True}, "pools": {"main": {"replicas": {"min": 3}}}},
        "pools.main.replicas.max is 2, less than replicas.min, which is 3.",
    ),
    "a schedule beyond the most": (
        {
            "autoscaling": {"enabled": True},
            "pools": {
                "main": {
                    "autoscaling": {
                        "schedules": {
                            "morning": {
                                "timezone": "UTC",
                                "start": "0 6 * * *",
                                "end": "0 9 * * *",
                                "replicas": 4,
                            }
                        }
                    }
                }
            },
        },
        "pools.main.autoscaling.schedules.morning wants 4 replicas, more than replicas.max",
    ),
    "a fallback beyond the most": (
        {
            "autoscaling": {"enabled": True},
            "pools": {"main": {"autoscaling": {"fallback": {"replicas": 3}}}},
        },
        "pools.main.autoscaling.fallback.replicas is 3, more than replicas.max, which is 2.",
    ),
    "folder with an api that scales": (
        FOLDER,
        "objects.kind is folder, which serves one node, and api.autoscaling.enabled is true",
    ),
    "folder with two api pods": (
        {**FOLDER, "api": {"replicas": 2, "autoscaling": {"enabled": False}}},
        "objects.kind is folder, which serves one node, and api.replicas is 2;",
    ),
    "folder with two listeners": (
        {**FOLDER, **ONE, "dimse": {"enabled": True, "replicas": 2}},
        "objects.kind is folder, which serves one node, and dimse.replicas is 2;",
    ),
    "folder with a pool of several": (
        {**FOLDER, **ONE, "pools": {"main": {"replicas": {"min": 2}}}},
        "objects.kind is folder, which serves one node, and pools.main may have more than one pod",
    ),
    "folder with nodes apart": (
        {**FOLDER, **ONE, "pools": {"main": {"antiAffinity": "required"}}},
        "objects.kind is folder, which serves one node, and pools.main.antiAffinity is required",
    ),
    "a setting that has a value": (
        {"settings": {"ONESCAN_API__DRAIN_SECONDS": "5"}},
        "settings.ONESCAN_API__DRAIN_SECONDS is set by the chart; its value is api.drainSeconds.",
    ),
    "a secret among the settings": (
        {"settings": {"DATABASE_URL": "postgresql://u:p@h/d"}},
        "settings.DATABASE_URL is set by the chart; its value is database.existingSecret.",
    ),
    "an api that ends too soon": (
        {"api": {"terminationGracePeriodSeconds": 70}},
        "api.terminationGracePeriodSeconds is 70, and has to be more than api.preStopSeconds (10)"
        " and api.drainSeconds (60) together.",
    ),
    "a listener that ends too soon": (
        {"dimse": {"drainSeconds": 60}},
        "dimse.terminationGracePeriodSeconds is 45, and has to be more than dimse.drainSeconds",
    ),
    "fewer api pods at most than at least": (
        {"api": {"autoscaling": {"minReplicas": 20}}},
        "api.autoscaling.maxReplicas is 10, less than minReplicas, which is 20.",
    ),
    "an ingress for nobody": (
        {"api": {"ingress": {"enabled": True}}},
        "api.ingress.enabled is true and api.ingress.host is empty.",
    ),
    "a route from nowhere": (
        {"api": {"httpRoute": {"enabled": True}}},
        "api.httpRoute.enabled is true and api.httpRoute.parentRefs is empty: name the Gateway.",
    ),
    "two partners files": (
        {"partners": {"toml": "[partners]", "existingSecret": "partners"}},
        "partners.toml and partners.existingSecret are both set; one file is read.",
    ),
    "a claim without a name": (
        {"models": {"source": "pvc"}},
        "models.source is pvc and models.pvc.existingClaim is empty.",
    ),
    "a bucket without an address": (
        {"models": {"source": "s3"}},
        "models.source is s3 and models.s3.url is empty.",
    ),
    "a hook before its database": (
        {"postgresql": {"enabled": True}},
        "postgresql.enabled is true and migrations.mode is hook: the Job would run before",
    ),
    "several pods that migrate": (
        {"migrations": {"mode": "init"}},
        "migrations.mode is init and the api has several pods",
    ),
    "a backup to nowhere": (
        {"backup": {"enabled": True}},
        "backup.enabled is true and backup.existingClaim is empty: name a claim of another disk.",
    ),
    "nothing to compile for": (
        {"compile": {"enabled": True}, "pools": {"main": {"kind": "cpu"}}},
        "compile.enabled is true and no pool has GPUs to compile for.",
    ),
}

UNKNOWN: dict[str, dict[str, Any]] = {
    "at the top": {"replicas": 3},
    "in a component": {"api": {"replicaCount": 3}},
    "in a pool": {"pools": {"main": {"gpus": 1}}},
    "deep in a pool": {"pools": {"main": {"gpu": {"name": "H200"}}}},
    "in a probe that has none": {"triton": {"startupProbe": {}}},
    "a setting of no form": {"settings": {"onescan_api__port": "1"}},
}

WRONG: dict[str, dict[str, Any]] = {
    "a lane": {"pools": {"main": {"lanes": ["urgent"]}}},
    "a strategy": {"pools": {"main": {"rollout": {"strategy": "Recreate"}}}},
    "a kind of pool": {"pools": {"main": {"kind": "tpu"}}},
    "a resource": {"pools": {"main": {"gpu": {"resource": "gpu"}}}},
    "a pool's name": {"pools": {"Main_1": {"gpu": GPU}}},
    "a check's name": {"pools": {"main": {"checks": ["liver'); --"]}}},
    "a role's name": {"database": {"scaler": {"role": "x; drop"}}},
    "a store": {"objects": {"kind": "nfs"}},
    "a bucket": {"objects": {"s3": {"url": "https://bucket"}}},
    "a timeout": {"api": {"httpRoute": {"timeout": "1 hour"}}},
    "seconds in words": {"worker": {"drainSeconds": "a minute"}},
    "no secret for the database": {"database": {"existingSecret": ""}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name: str) -> None:
    """With a sentence that names the value and what to do."""
    values, sentence = REFUSED[name]
    done = template(**values)
    assert done.returncode != 0
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.count("Error:") == 1


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_values_are_refused(name: str) -> None:
    """At every level: a misspelt value is never passed over."""
    done = template(**UNKNOWN[name])
    assert done.returncode != 0
    assert "not allowed" in done.stderr


@pytest.mark.parametrize("name", WRONG)
def test_values_of_the_wrong_form_are_refused(name: str) -> None:
    """By the schema, before a template sees them."""
    done = template(**WRONG[name])
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr
