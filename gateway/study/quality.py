"""Quality control: what header and pixels say about whether a series may be measured."""

from __future__ import annotations

from gateway.study.flags import Flag, Quality, Severity
from gateway.study.header_quality import header_quality
from gateway.study.pixel_quality import pixel_quality

__all__ = ["Flag", "Quality", "Severity", "header_quality", "pixel_quality"]
