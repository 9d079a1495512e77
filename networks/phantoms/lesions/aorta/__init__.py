"""The aorta: its course, its wall, and what is planted there."""

KINDS: tuple[str, ...] = ()

CONFOUNDERS: tuple[str, ...] = ()
