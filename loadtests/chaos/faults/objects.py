"""An object store that is slow, overloaded, or loses connections."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.chaos.faults.base import Fault
from loadtests.chaos.scene import Scene


@dataclass(frozen=True)
class Bucket(Fault):
    """Trouble between the server and S3."""

    store: str = "s3"
    error_share: float = 0.0
    delay_seconds: float = 0.0
    cut_after_bytes: int = 0

    async def strike(self, scene: Scene) -> None:
        """Begin the trouble."""
        assert scene.objects is not None
        scene.objects.error_share = self.error_share
        scene.objects.delay_seconds = self.delay_seconds
        scene.objects.cut_after_bytes = self.cut_after_bytes
        # errors are answered on new connections
        if self.error_share or self.cut_after_bytes:
            scene.objects.cut_all()

    async def end(self, scene: Scene) -> list[str]:
        """End it."""
        assert scene.objects is not None
        scene.objects.heal()
        return []


OBJECTS = (
    Bucket("s3_errors", "half of S3's answers are 503", "it answers", (4.0, 8.0), error_share=0.5),
    Bucket("s3_down", "S3 answers 503 and nothing else", "it answers", (4.0, 8.0), error_share=1.0),
    Bucket("s3_slow", "S3 takes 0.2 s for 64 kB", "it is quick", (4.0, 8.0), delay_seconds=0.2),
    Bucket(
        "s3_cut",
        "connections to S3 are reset",
        "no more are",
        (4.0, 8.0),
        cut_after_bytes=1_500_000,
    ),
)
