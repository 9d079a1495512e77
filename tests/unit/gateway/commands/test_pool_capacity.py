"""``onescan pool capacity`` as a person and as a program meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gateway.cli import main
from gateway.commands.pool_capacity import as_yaml
from loadtests.capacity.cost import HERE as COSTS
from loadtests.capacity.prices import read_price
from loadtests.capacity.profile import HERE

ASKED = ("pool", "capacity", "--profile", "hospital", "--studies-per-day", "200")


def test_it_prints_a_table_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    """What is assumed is said; the values are YAML that the chart takes."""
    assert main(ASKED) == 0
    out = capsys.readouterr().out
    assert "ASSUMPTION" in out
    assert "a zone lost in the busiest hour" in out
    values = yaml.safe_load(out[out.index("autoscaling:") :])
    assert values["pools"]["main"]["replicas"]["min"] >= 1  # stat studies at night
    assert values["autoscaling"] == {"enabled": True}


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """With the cost of idle time in it."""
    assert main((*ASKED, "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["met"]
    assert shown["day"]["done"] == shown["day"]["studies"] > 100
    assert shown["day"]["eur_per_thousand"] == pytest.approx(
        shown["eur_per_gpu_hour"] * shown["day"]["gpu_hours"] / shown["day"]["studies"] * 1000,
        rel=1e-3,
    )


def test_prices_are_the_user_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of his own goes; a GPU without a price has no cost."""
    prices = tmp_path / "prices.toml"
    prices.write_text("h200 = 1.0\n", encoding="utf-8")
    assert read_price("h200", str(prices)) == 1.0
    prices.write_text("b300 = 1.0\n", encoding="utf-8")
    assert main((*ASKED, "--prices", str(prices))) == 0
    assert "No price is known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--studies-per-day", "0", "usage"),
        ("--studies-per-day", "nan", "usage"),
        ("--profile", "nowhere", "capacity.file"),
        ("--gpu", "tpu", "capacity.file"),
        ("--prices", "/nowhere/prices.toml", "capacity.file"),
        ("--seed", "-1", "usage"),
    ],
)
def test_bad_input_is_one_line(
    option: str, value: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its code, on stderr, and exit code 2."""
    assert main((*ASKED, option, value)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert f"[{code}]" in told.err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("share = 0.25", "share = 0.35"),
        ("spread = 0.35", 'spread = "much"'),
        ('weekday = "monday"', 'weekday = "holiday"'),
        ("p95_seconds = 60 ", "p95_seconds = 0 "),
        ("hourly = [0.6, ", "hourly = ["),
        ("[lanes.stat]", "[lanes.urgent]"),
        ("spread", "= ["),
        ("hourly = [0.6", "hourly = [nan"),
        ("hourly = [0.6", "hourly = [1e300"),
    ],
)
def test_a_damaged_profile_is_refused(
    old: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with it, in one sentence that names the file."""
    text = (HERE / "hospital.toml").read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "mine.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert main((*ASKED, "--profile", str(file))) == 2
    assert "mine.toml" in (err := capsys.readouterr().err)
    assert "[capacity.file]" in err


def test_a_cost_that_asks_for_too_many_pods_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is simulated."""
    text = (COSTS / "h200.toml").read_text(encoding="utf-8")
    file = tmp_path / "slow.toml"
    file.write_text(text.replace("device_seconds = 0.47", "device_seconds = 1e9"), encoding="utf-8")
    assert main((*ASKED, "--gpu", str(file))) == 2
    assert "pods" in (err := capsys.readouterr().err)
    assert "[usage]" in err


def test_a_day_without_a_study_costs_nothing_a_thousand(capsys: pytest.CaptureFixture[str]) -> None:
    """One study a day may draw none; that is an answer too."""
    assert main(("pool", "capacity", "--studies-per-day", "1", "--seed", "2", "--json")) == 0
    day = json.loads(capsys.readouterr().out)["day"]
    assert day["studies"] == day["done"] == 0
    assert day["eur_per_thousand"] is None


def test_values_are_quoted_where_yaml_needs_it() -> None:
    """Cron's stars begin an alias otherwise."""
    values = {
        "a": {"start": "40 6 * * 1-5", "enabled": True, "n": 2, "text": "100000"},
        "zone": "Etc/UTC",
    }
    assert yaml.safe_load("\n".join(as_yaml(values))) == values
