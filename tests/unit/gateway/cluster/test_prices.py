"""What an hour of a GPU costs."""

from __future__ import annotations

import pytest

from gateway.cluster.pools import Gpu
from gateway.cluster.prices import Prices, pairs_of
from gateway.exceptions import UsageError

H200 = Gpu(resource="nvidia.com/gpu", count=1, type="NVIDIA-H200-SXM5")
SLICE = Gpu(resource="nvidia.com/mig-1g.18gb", count=1, type="NVIDIA-H200-SXM5")
ANY = Gpu(resource="nvidia.com/gpu", count=1, type=None)


def test_a_type_is_found_in_the_gpu_s_whatever_the_case() -> None:
    """The longest that fits."""
    prices = Prices(["h200=3.20", "H200-SXM5=3.50", "L4=0.8"])
    assert prices.of(H200) == 3.5
    assert prices.of(ANY) is None
    assert prices.of(ANY, "NVIDIA L4") == 0.8
    assert prices.of(None) is None


def test_a_resource_s_own_price_goes_first() -> None:
    """A slice has no other: the price of the whole GPU is not that of a seventh."""
    assert Prices(["H200=3.50"]).of(SLICE) is None
    assert Prices(["H200=3.50", "nvidia.com/mig-1g.18gb=0.60"]).of(SLICE) == 0.6
    assert Prices(["H200=3.50", "nvidia.com/gpu=1"]).of(H200) == 1.0


def test_the_command_line_goes_before_the_settings() -> None:
    """It comes later."""
    assert Prices([*pairs_of("H200=3.5, L4=1,"), "H200=4"]).of(H200) == 4.0


@pytest.mark.parametrize("pair", ["H200", "H200=", "=3", "H200=cheap", "H200=-1", "H200=nan", ""])
def test_what_is_no_price_is_refused(pair: str) -> None:
    """With an example of one."""
    with pytest.raises(UsageError, match="TYPE=EUR"):
        Prices([pair])
