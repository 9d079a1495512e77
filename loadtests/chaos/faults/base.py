"""What a fault is: a name, what it does, how it ends."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.chaos.scene import Scene


@dataclass(frozen=True)
class Fault:
    """One way in which a deployment is hurt.

    Attributes
    ----------
    name : str
    does, ends : str
        A sentence each, for the report.
    seconds : tuple of float
        It lasts for a random time between these.
    store : str
        ``folder`` or ``s3``: the object store without which it means nothing; empty for either.
    needs : str
        ``cage`` or ``clock``: what the machine has to allow; empty for nothing.
    may_fail : frozenset of str
        Templates whose studies may end as visibly failed.
    """

    name: str
    does: str
    ends: str
    seconds: tuple[float, float] = (1.0, 2.0)
    store: str = ""
    needs: str = ""
    may_fail: frozenset[str] = frozenset()

    async def strike(self, scene: Scene) -> None:
        """Begin."""
        raise NotImplementedError

    async def end(self, scene: Scene) -> list[str]:
        """Undo what does not pass by itself; gives what else was wrong, in sentences."""
        return []
