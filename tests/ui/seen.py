"""What a page shows, and what axe says of it."""

from __future__ import annotations

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect


def shown(page: Page, plane: str = "axial") -> int:
    """The slice that a plane shows, once it is there."""
    canvas = page.locator(f'[data-plane="{plane}"] canvas')
    expect(canvas).to_have_attribute("data-shown", re.compile("[0-9]"))
    return int(canvas.get_attribute("data-shown") or -1)


def at(page: Page, plane: str, index: int) -> None:
    canvas = page.locator(f'[data-plane="{plane}"] canvas')
    expect(canvas).to_have_attribute("data-shown", str(index))


def serious(page: Page) -> list[str]:
    """What axe finds serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {[node['target'] for node in one['nodes']][:3]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def coloured(page: Page, colour: tuple[int, int, int], plane: str = "axial") -> int:
    """Count the pixels of a plane that have nearly a colour."""
    counted = page.evaluate(
        """([plane, colour]) => new Promise((done) => requestAnimationFrame(() => {
            const c = document.querySelector(`[data-plane="${plane}"] canvas`);
            const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
            let n = 0;
            for (let i = 0; i < data.length; i += 4) {
                n += colour.every((value, a) => Math.abs(data[i + a] - value) < 40) ? 1 : 0;
            }
            done(n);
        }))""",
        [plane, list(colour)],
    )
    return int(counted)
