"""The worklist and a study in a real Chromium, by keyboard and by mouse."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from gateway.api.keys import DATABASE
from gateway.store import screenings
from gateway.store.critical import Care, escalate
from tests.ui.conftest import DESK, TABLET, Pages, keep
from tests.ui.seen import at, serious, shown
from tests.ui.studies import LESION, LONG, SLICES

pytestmark = pytest.mark.postgres

FIRST_PICTURE_MILLISECONDS = 1000
"""On a local machine, from the click on."""


def names(page: Page) -> list[str]:
    """Patients of the list, from the top."""
    return page.locator("table.studies tbody th a").all_inner_texts()


def test_without_a_session_a_page_says_how_to_sign_in(chromium: Browser, pages: Pages) -> None:
    """401 with a page for people, and a problem for programs."""
    page = chromium.new_page(viewport=DESK, locale="zh-CN")
    answer = page.goto(f"{pages.url}/ui")
    assert answer is not None
    assert answer.status == 401
    assert "请登录" in page.locator("h1").inner_text()
    assert serious(page) == []
    told = page.request.get(f"{pages.url}/ui", headers={"Accept": "application/json"})
    assert told.json()["code"] == "request.unauthorized"
    page.close()


def test_the_most_urgent_study_is_first_and_hostile_names_are_text(
    page: Page, pages: Pages
) -> None:
    """Nothing of a name is run, nothing turns the line around, nothing makes the page wide."""
    page.goto(f"{pages.url}/ui")
    listed = names(page)
    assert listed[0] == "Wang XiaoDong 王 小东"
    assert listed[1] == "Roe Richard"
    hostile = next(name for name in listed if "onerror" in name)
    assert "<img src x" in hostile
    assert "\u202e" not in hostile
    long = next(name for name in listed if name.startswith("Hubert"))
    assert len(long) < 80 < len(LONG)
    assert page.locator("table.studies img, table.studies script, th bdi b").count() == 0
    assert "P-<b>2</b>" in page.locator("table.studies").inner_text()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= DESK["width"]
    assert serious(page) == []
    keep(page, "worklist")


def test_chinese_by_the_switch_and_by_the_browser(
    page: Page, chromium: Browser, pages: Pages
) -> None:
    """The switch is remembered; without it the browser's language counts."""
    page.goto(f"{pages.url}/ui")
    page.get_by_role("link", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    assert names(page)[0] == "王 小东 Wang XiaoDong"
    assert "胸部平扫" in page.locator("table.studies").inner_text()
    page.goto(f"{pages.url}/ui")
    expect(page.locator("h1")).to_have_text("工作列表")
    keep(page, "worklist-zh")
    page.get_by_role("link", name="English").click()
    expect(page.locator("h1")).to_have_text("Worklist")
    context = chromium.new_context(locale="zh-CN", viewport=TABLET, has_touch=True)
    tablet = context.new_page()
    tablet.goto(pages.link("read"))
    expect(tablet.locator("h1")).to_have_text("工作列表")
    assert tablet.get_by_role("button", name="确认").count() == 0  # no role to review
    assert tablet.evaluate("document.documentElement.scrollWidth") <= TABLET["width"]
    keep(tablet, "worklist-tablet")
    context.close()


def test_keys_lead_through_the_list_and_into_a_study(page: Page, pages: Pages) -> None:
    """j, k, /, ?, Enter: no mouse."""
    page.goto(f"{pages.url}/ui")
    current = page.locator('tr[aria-current="true"] th a')
    page.keyboard.press("j")
    expect(current).to_have_text("Wang XiaoDong 王 小东")
    page.keyboard.press("j")
    expect(current).to_have_text("Roe Richard")
    page.keyboard.press("k")
    expect(current).to_have_text("Wang XiaoDong 王 小东")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("/")
    page.keyboard.type("p-005")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("patient=p-005"))
    assert names(page) == ["Roe Richard"]
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/ui/screenings/"))
    expect(page.locator("h1")).to_have_text("Roe Richard")
    page.keyboard.press("u")
    page.wait_for_url(re.compile("/ui$"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("urgency=critical", ["Wang XiaoDong 王 小东"]),
        (
            "check=nodule&check_state=positive&lane=routine",
            ["Wang XiaoDong 王 小东", "Roe Richard"],
        ),
        ("state=accepted", ["Poe Ann"]),
        ("date_to=2020-01-01", []),
        ("patient=%3Cb%3E", ["<img"]),
        ("urgency=nonsense&state=x&date_from=2026-02-31&page=-1&patient=P-001", ["Doe Jane"]),
    ],
)
def test_filters(page: Page, pages: Pages, query: str, expected: list[str]) -> None:
    """Each alone and together; what is not known filters nothing."""
    page.goto(f"{pages.url}/ui?{query}")
    assert [name[: len(want)] for name, want in zip(names(page), expected, strict=True)] == expected


def test_the_lesion_is_two_clicks_away_and_its_picture_comes_within_a_second(
    page: Page, pages: Pages
) -> None:
    """From the list: the study, then the lesion; its slice, its box, its place in all planes."""
    page.goto(f"{pages.url}/ui")
    with page.expect_response(re.compile("/masks/nodule/axial/25")):
        page.get_by_role("link", name="Roe Richard").click()
    body = page.locator("body")
    expect(body).to_have_attribute("data-first-picture", re.compile("[0-9]"))
    assert int(body.get_attribute("data-first-picture") or 9999) < FIRST_PICTURE_MILLISECONDS
    at(page, "axial", LESION[0])
    page.locator('[data-plane="axial"] canvas').hover()
    page.mouse.wheel(0, 120)
    at(page, "axial", LESION[0] - 1)
    page.locator('[data-lesion="nodule/1"]').click()
    at(page, "axial", LESION[0])
    at(page, "coronal", LESION[1])
    at(page, "sagittal", LESION[2])
    middle = page.evaluate(  # the picture's middle is the lesion, white in the lung's window
        """() => { const c = document.querySelector('[data-plane="axial"] canvas'),
            ratio = c.width / c.clientWidth, g = c.getContext('2d');
        return [...g.getImageData(c.width / 2 + 9 * ratio, c.height / 2, 1, 1).data] }"""
    )
    assert middle[3] == 255
    assert serious(page) == []
    keep(page, "study")


def test_keys_wheel_and_touch_scroll(page: Page, pages: Pages, chromium: Browser) -> None:
    """By one, by ten, to the ends; presets and tools by keys."""
    page.goto(f"{pages.url}/ui/screenings/{pages.studies['lesion'].screening}")
    at(page, "axial", LESION[0])
    page.keyboard.press("ArrowUp")
    at(page, "axial", LESION[0] + 1)
    page.keyboard.press("PageDown")
    at(page, "axial", LESION[0] - 9)
    page.keyboard.press("End")
    at(page, "axial", 0)
    page.keyboard.press("Home")
    at(page, "axial", SLICES - 1)
    page.keyboard.press("3")
    expect(page.locator("#readout")).to_contain_text("C 450 W 1800")
    expect(page.get_by_role("button", name="Bone")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("n")
    at(page, "axial", LESION[0])
    page.keyboard.press("x")
    expect(page.locator('[data-plane="coronal"]')).to_have_class(re.compile("large"))
    keep(page, "study-coronal")
    context = chromium.new_context(viewport=TABLET, has_touch=True, locale="zh-CN")
    tablet = context.new_page()
    screening = f"/ui/screenings/{pages.studies['lesion'].screening}"
    tablet.goto(pages.link("read", onward=screening))
    before = shown(tablet)
    box = tablet.locator('[data-plane="axial"] canvas').bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = context.new_cdp_session(tablet)
    for kind, move in (("touchStart", 0), ("touchMove", 40), ("touchMove", 160), ("touchEnd", 0)):
        points = [] if kind == "touchEnd" else [{"x": x, "y": y + move}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    moved = tablet.locator('[data-plane="axial"] canvas')
    expect(moved).not_to_have_attribute("data-shown", str(before))
    assert shown(tablet) < before
    assert tablet.evaluate("document.documentElement.scrollWidth") <= TABLET["width"]
    assert serious(tablet) == []
    keep(tablet, "study-tablet")
    context.close()


def test_a_distance_is_measured_in_millimetres(page: Page, pages: Pages) -> None:
    """Between two voxels whose distance is known; on this slice only; taken back."""
    page.goto(f"{pages.url}/ui/screenings/{pages.studies['lesion'].screening}")
    at(page, "axial", LESION[0])
    canvas = page.locator('[data-plane="axial"] canvas')
    box = canvas.bounding_box()
    assert box is not None
    page.keyboard.press("m")
    voxel = min(box["width"], box["height"]) / 96  # the picture is square and fills the pane
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10 * voxel, y, steps=3)
    page.mouse.up()
    assert float(page.locator("#readout").get_attribute("data-mm") or 0) == pytest.approx(30, abs=1)
    at(page, "axial", LESION[0])
    keep(page, "study-distance")
    page.keyboard.press("w")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 10, steps=3)
    page.mouse.up()
    expect(page.locator("#readout")).not_to_contain_text("W 1500")


def test_scores_thresholds_reasons_and_provenance(page: Page, pages: Pages) -> None:
    """Drawn and said; why a check has no answer; where a result comes from, on one click."""
    page.goto(f"{pages.url}/ui/studies/{pages.studies['lesion'].study}")
    card = page.locator('article[data-check="nodule"]')
    expect(card.get_by_role("img")).to_have_attribute(
        "aria-label", "score 0.87: over the flag threshold (mark 0.3, flag 0.6)"
    )
    assert not card.get_by_text("weights origin").is_visible()
    card.get_by_text("Provenance").click()
    assert card.get_by_text("weights origin").is_visible()
    failed = page.locator('article[data-check="pancreas"]')
    expect(failed).to_contain_text("Why")
    expect(failed.locator("code")).to_have_text("crashed")
    page.goto(f"{pages.url}/ui/studies/{pages.studies['long'].study}")
    expect(page.locator('article[data-check="liver"] code')).to_have_text("contrast")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= DESK["width"]
    page.goto(f"{pages.url}/ui/studies/{pages.studies['hostile'].study}")
    assert "onerror" in page.locator("h1").inner_text()


def test_a_critical_result_asks_escalates_and_is_acknowledged(page: Page, pages: Pages) -> None:
    """It stands on top with the person's name; the key acknowledges it; all of it is audited."""
    page.goto(f"{pages.url}/ui?state=failed")  # whatever the filters say
    row = page.locator(".critical-results li")
    expect(row).to_contain_text("Acute aortic syndrome")
    page.wait_for_timeout(1200)  # the loop looks every second
    page.reload()
    expect(row).to_contain_text("Asked Dr Li")

    async def later() -> None:
        async with pages.app[DATABASE].connection() as connection:
            await connection.execute("UPDATE critical_results SET due_at = now()")
            await escalate(connection, {"default": Care(ask=("Dr Li", "Dr Wang"))})

    pages.run(later())
    page.reload()
    expect(row).to_contain_text("Asked Dr Wang")
    expect(row).to_contain_text("escalated")
    keep(page, "critical")
    page.keyboard.press("a")
    expect(page.locator(".critical-results")).to_have_count(0)
    page.goto(f"{pages.url}/ui/screenings/{pages.studies['chinese'].screening}")
    expect(page.locator(".notice")).to_contain_text("Acknowledged by link")

    async def audited() -> list[tuple[str, str]]:
        async with pages.app[DATABASE].connection() as connection:
            found = await connection.execute(
                "SELECT action, actor FROM audit WHERE action LIKE 'critical.%' ORDER BY audit_id"
            )
            return [(row["action"], row["actor"]) for row in await found.fetchall()]

    assert pages.run(audited()) == [
        ("critical.asked", "escalation"),
        ("critical.escalated", "escalation"),
        ("critical.acknowledged", "link"),
    ]


def test_rows_change_while_the_page_is_open(page: Page, pages: Pages) -> None:
    """By the server's events, the chosen row kept."""
    page.goto(f"{pages.url}/ui?patient=P-006")
    page.keyboard.press("j")
    row = page.locator("table.studies tbody tr")
    expect(row).to_contain_text("waiting")
    expect(page.locator("#live-state")).to_have_text("Live")
    screening = pages.studies["waiting"].screening

    async def claim() -> screenings.Claim:
        async with pages.app[DATABASE].connection() as connection:
            held, _, _ = await screenings.find(connection, "default", screening)
            taken = await screenings.claim(connection, screening, held["attempt"], "w/9")
            assert taken is not None
            return taken

    async def finish(taken: screenings.Claim) -> None:
        async with pages.app[DATABASE].connection() as connection:
            await screenings.finish(connection, taken, {})

    taken = pages.run(claim())
    expect(row).to_contain_text("running")
    pages.run(finish(taken))
    expect(row).to_contain_text("done")
    expect(page.locator('tr[aria-current="true"]')).to_have_count(1)


def test_signing_out_ends_the_session(chromium: Browser, pages: Pages) -> None:
    """And a change without the session's token is refused."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(pages.link("read", "review"))
    forged = page.request.post(f"{pages.url}/v1/critical/x/acknowledge")
    assert forged.json()["code"] == "request.csrf"
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("h1")).to_have_text("Sign in to see studies.")
    context.close()


def test_a_review_is_decided_saved_and_signed(page: Page, pages: Pages) -> None:
    """Undecided it is not signed, and nothing is lost; signed it says by whom."""
    page.goto(f"{pages.url}/ui/screenings/{pages.studies['lesion'].screening}")
    state = page.locator("#review-state")
    page.get_by_role("button", name="Begin review").click()
    nodule = page.locator('.decision[data-check="nodule"]')
    expect(nodule.get_by_role("button", name="Reject")).to_be_visible()
    page.locator("#review-comment").fill("Looked at twice <b>")
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(state).to_contain_text("nodule")
    nodule.get_by_role("button", name="Accept").click()
    page.get_by_role("button", name="Save draft").click()
    expect(state).to_have_text("Draft saved")
    page.reload()
    expect(page.locator("#review-comment")).to_have_value("Looked at twice <b>")
    expect(nodule.get_by_role("button", name="Accept")).to_have_attribute("aria-pressed", "true")
    assert serious(page) == []
    keep(page, "review")
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(state).to_contain_text("Signed by link")
    expect(page.get_by_role("button", name="Amend")).to_be_visible()
    page.goto(f"{pages.url}/ui")
    assert "Roe Richard" not in names(page)  # what is signed has left the list
    page.get_by_label("Report").select_option("signed")
    page.wait_for_url(re.compile("report=signed"))
    assert names(page) == ["Roe Richard"]


def test_who_is_second_to_sign_loses_nothing(page: Page, chromium: Browser, pages: Pages) -> None:
    """The page says who was first, and his draft becomes an amendment of what was signed."""
    screening = pages.studies["chinese"].screening
    page.goto(f"{pages.url}/ui/screenings/{screening}")
    page.get_by_role("button", name="Begin review").click()
    for check in ("aorta", "nodule"):
        decision = page.locator(f'.decision[data-check="{check}"]')
        decision.get_by_role("button", name="Accept").click()
    page.locator("#review-comment").fill("Mine")
    page.get_by_role("button", name="Save draft").click()
    expect(page.locator("#review-state")).to_have_text("Draft saved")
    key = {"Authorization": "Bearer key-of-the-test"}
    context = chromium.new_context(extra_http_headers=key)
    other = context.request
    begun = other.post(f"{pages.url}/v1/screenings/{screening}/reviews", data={}).json()
    review = f"{pages.url}/v1/reviews/{begun['review_id']}"
    rejected = {"decision": "rejected"}
    content = {"findings": {"aorta": rejected, "nodule": rejected}}
    assert other.put(review, data={"revision": 1, "content": content}).ok
    signed = other.post(f"{review}/sign", data={"revision": 2})
    assert signed.ok, signed.text()
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.locator("#review-state")).to_contain_text(begun["reader"])
    page.reload()
    expect(page.locator("#review-comment")).to_have_value("Mine")
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.locator("#review-state")).to_contain_text("Signed by link")
    report = other.get(f"{pages.url}/v1/screenings/{screening}/report").json()
    assert (report["comment"], report["predecessor"]) == ("Mine", begun["review_id"])
    context.close()


def test_a_mask_is_cut_on_the_grid_of_the_source(page: Page, pages: Pages) -> None:
    """Where the lesion is, in each plane; nothing beside it; a plane that is none is 404."""
    screening = pages.studies["lesion"].screening
    for plane, index, width in (("axial", 25, 96), ("coronal", 40, 96), ("sagittal", 60, 96)):
        url = f"{pages.url}/v1/screenings/{screening}/masks/nodule/{plane}"
        got = page.request.get(f"{url}/{index}")
        assert got.status == 200
        at = [n for n, label in enumerate(got.body()) if label]
        rows, columns = {n // width for n in at}, {n % width for n in at}
        down, right = [p for p in zip(("axial", "coronal", "sagittal"), LESION) if p[0] != plane]
        assert (min(rows) + max(rows)) / 2 == down[1]
        assert (min(columns) + max(columns)) / 2 == right[1]
        assert max(rows) - min(rows) + 1 == 5  # 15 mm of voxels of 3 mm
        assert page.request.get(f"{url}/0").status == 204
        assert page.request.get(f"{url}/999").status == 404
    assert page.request.get(f"{pages.url}/v1/screenings/{screening}/masks/nodule/x/1").status == 404
