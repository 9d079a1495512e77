"""Lesion by lesion, teaching and reader studies in a real Chromium."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from gateway.api.keys import DATABASE
from gateway.review.content import read_content
from gateway.review.verdicts import reviewed
from gateway.store.keys import create_key
from tests.ui.conftest import DESK, PATIENCE_MILLISECONDS, TABLET, Pages, careful_page, keep
from tests.ui.seen import at, coloured, serious
from tests.ui.studies import LESION, SECOND, centre_mm

pytestmark = pytest.mark.postgres

VIOLET = (210, 170, 255)
"""What the reader says himself."""

GREY = (163, 173, 184)
"""What he rejected."""

TOLD = "What was seen: pair."
"""By the check, in English."""


STUDIES = [
    (name, {"PatientName": f"Pair^{name}", "PatientID": f"R-{name}"}, ("pair", "negative"))
    for name in ("single", "taught", "first", "second")
]
"""Each has a check with two lesions, and a negative one."""


def with_key(chromium: Browser, pages: Pages, name: str, **given: Any) -> BrowserContext:
    """Give a browser whose requests carry a key of its own."""

    async def made() -> str:
        async with pages.app[DATABASE].connection() as connection:
            key = await create_key(connection, "default", name, ["read", "review"], actor="test")
            return key.secret

    headers = {"Authorization": f"Bearer {pages.run(made())}"}
    context = chromium.new_context(
        **{"viewport": DESK, "locale": "en-GB", **given}, extra_http_headers=headers
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    return context


@pytest.fixture(scope="module")
def pupil(chromium: Browser, pages: Pages) -> Iterator[BrowserContext]:
    """Somebody from whom findings are hidden until he has marked his own."""
    context = with_key(chromium, pages, "pupil")
    yield context
    context.close()


def point_at(page: Page, voxel: tuple[int, int, int]) -> None:
    """Lead the crosshair to a voxel, by clicks in two planes."""
    for plane, column, row in (("sagittal", 1, 0), ("axial", 2, 1)):
        place = place_of(page, plane, voxel[column], voxel[row])
        page.mouse.click(*place)
    for plane, index in zip(("axial", "coronal", "sagittal"), voxel, strict=True):
        at(page, plane, index)


def place_of(page: Page, plane: str, column: float, row: float) -> tuple[float, float]:
    """Find a voxel of a plane on the screen; the small series fill the width of a square pane."""
    box = page.locator(f'[data-plane="{plane}"] canvas').bounding_box()
    assert box is not None
    rows = 96 if plane == "axial" else 40
    scale = min(box["width"] / 96, box["height"] / rows)
    down = row if plane == "axial" else rows - 1 - row
    return (
        box["x"] + box["width"] / 2 + (column - 47.5) * scale,
        box["y"] + box["height"] / 2 + (down - (rows - 1) / 2) * scale,
    )


def measure(page: Page, voxel: tuple[int, int, int], voxels: float) -> None:
    """Measure across a voxel in the axial plane."""
    page.keyboard.press("m")
    page.mouse.move(*place_of(page, "axial", voxel[2] - voxels / 2, voxel[1]))
    page.mouse.down()
    page.mouse.move(*place_of(page, "axial", voxel[2] + voxels / 2, voxel[1]), steps=3)
    page.mouse.up()
    page.keyboard.press("s")


def ready(page: Page) -> None:
    """Wait until one's own marks can be written."""
    expect(page.locator("#mark-comment")).to_be_enabled()


def saved(page: Page, where: str = "#review-state") -> None:
    expect(page.locator(where)).to_have_text(re.compile("Draft saved|草稿已保存"))


# --- lesion by lesion -------------------------------------------------------------------------


def test_each_lesion_is_accepted_rejected_corrected_or_added(page: Page, pages: Pages) -> None:
    """By keys and by mouse; drawn so on the slices; all of it in the final report."""
    url = f"{pages.url}/ui/screenings/{pages.studies['single'].screening}"
    page.goto(url)
    at(page, "axial", LESION[0])
    card = page.locator('article[data-check="nodule"]')
    page.keyboard.press("a")
    expect(page.locator("#review-state")).to_have_text("Begin the review first.")
    expect(card).not_to_contain_text("as found")
    page.get_by_role("button", name="Begin review").click()
    one, two = (card.locator(f'li:has([data-lesion="nodule/{n}"])') for n in (1, 2))
    expect(one.get_by_role("button", name="Accept: nodule 1")).to_be_visible()
    page.keyboard.press("n")
    at(page, "axial", SECOND[0])
    page.keyboard.press("d")
    expect(two).to_have_attribute("data-fate", "rejected")
    expect(card).to_contain_text("Lesions corrected")
    assert coloured(page, GREY) > 20
    two.get_by_label("Comment: nodule 2").fill("vessel")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    at(page, "axial", LESION[0])
    page.keyboard.press("c")
    one.get_by_label("Kind: nodule 1").select_option("part_solid_nodule")
    one.get_by_label("Long, mm: nodule 1").fill("21")
    page.keyboard.press("Enter")
    expect(one).to_have_attribute("data-fate", "corrected")
    expect(card.locator(".decision").get_by_role("button", name="Accept")).to_be_disabled()
    place = (LESION[0], 60, 44)
    point_at(page, place)
    measure(page, place, 3)
    page.keyboard.press("k")
    added = card.locator('li:has([data-lesion="nodule/+1"])')
    expect(added).to_contain_text("slice 26 · 9")
    assert coloured(page, VIOLET) > 100
    added.get_by_label("Long, mm: nodule +1").fill("nine")
    page.keyboard.press("Enter")
    expect(added.get_by_label("Long, mm: nodule +1")).to_have_value("")
    added.get_by_label("Long, mm: nodule +1").fill("9")
    page.keyboard.press("Enter")
    keep(page, "lesions")
    liver = page.locator('article[data-check="liver"]')
    liver.get_by_role("button", name="Add a lesion here").click()
    expect(liver.get_by_role("button", name="Correct to: positive")).to_have_attribute(
        "aria-pressed", "true"
    )
    liver.get_by_label("Long, mm: liver +1").fill("12,34")
    page.keyboard.press("Enter")
    liver.get_by_role("button", name="Add a lesion here").click()
    expect(liver.locator(".additions li")).to_have_count(2)
    page.keyboard.press("Delete")
    expect(liver.locator(".additions li")).to_have_count(1)
    assert serious(page) == []
    page.get_by_role("button", name="Save draft").click()
    saved(page)
    page.reload()
    expect(one.get_by_label("Long, mm: nodule 1")).to_have_value("21")
    expect(two.get_by_label("Comment: nodule 2")).to_have_value("vessel")
    expect(liver.get_by_label("Long, mm: liver +1")).to_have_value("12.3")
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.locator("#review-state")).to_contain_text("Signed by link")
    expect(two).to_have_attribute("data-fate", "rejected")
    expect(card.get_by_role("button", name="Remove")).to_have_count(0)
    keep(page, "lesions-signed")
    report = page.request.get(f"{url.replace('/ui/', '/v1/')}/report").json()
    checks = {check["check"]: check for check in report["result"]["checks"]}
    assert report["findings"]["nodule"]["lesions"][0]["comment"] == "vessel"
    first, new = checks["nodule"]["lesions"]
    assert (first["id"], first["kind"], first["long_diameter_mm"]) == (1, "part_solid_nodule", 21)
    assert (new["id"], new["slice_index"]) == (3, LESION[0])
    assert new["centre_mm"] == pytest.approx(centre_mm(place), abs=0.01)
    assert new["long_diameter_mm"] == pytest.approx(9, abs=1)
    assert (checks["liver"]["state"], len(checks["liver"]["lesions"])) == ("positive", 1)


def test_what_lesions_make_of_a_check_can_be_signed(page: Page, pages: Pages) -> None:
    """Whatever is pressed in whatever order, the server takes it, or the page calls it open."""
    page.goto(f"{pages.url}/ui")
    drawn = random.Random(7)
    cases = [
        {
            "state": state,
            "shown": list(range(1, 1 + drawn.randint(0 if state != "positive" else 1, 3))),
            "steps": [
                (
                    drawn.choice(["accepted", "rejected", "corrected", None, "add", "remove"]),
                    drawn.randint(1, 3),
                )
                for _ in range(drawn.randint(1, 8))
            ],
            "begins": drawn.choice(
                [None, "accepted", "rejected"]
                if state == "positive"
                else [None, "accepted", "negative"]
            ),
        }
        for state in ("positive", "negative", "indeterminate")
        for _ in range(120)
    ]
    told = page.evaluate(
        """async (cases) => {
            const v = await import("/ui/static/verdicts.js");
            const place_of_his = { series_instance_uid: "1.2", slice_index: 0 };
            const lesion_of_his = { centre_mm: [0, 0, 0], ...place_of_his };
            return cases.map(({ state, shown, steps, begins }) => {
                const whole = begins === "negative"
                    ? { decision: "corrected", state: begins } : { decision: begins };
                let finding = begins && begins !== state ? { ...whole, lesions: [] } : null;
                for (const [what, id] of steps) {
                    const place = { shown, state };
                    if (what === "add") {
                        const lesion = { ...lesion_of_his };
                        finding = v.added(finding, { lesion }, place);
                    } else if (what === "remove") {
                        if (!v.addedOf(finding).length) continue;
                        finding = v.added(finding, { index: 0 }, place);
                    } else if (shown.includes(id)) {
                        const size = what === "corrected" ? { long_diameter_mm: 5 } : {};
                        const said = what && { decision: what, ...size };
                        finding = v.judged(finding, id, said, place);
                    }
                }
                return { finding, open: !finding || v.isPending(finding, state),
                    fates: shown.map((id) => v.fateOf(finding, id, state)) };
            });
        }""",
        cases,
    )
    kinds = set()
    for case, one in zip(cases, told, strict=True):
        if one["open"]:
            continue
        check = a_check(case["state"], case["shown"])
        content = read_content({"findings": {"nodule": one["finding"]}}, marks=False)
        [result], _ = reviewed(content, [check])
        kinds.add((case["state"], one["finding"]["decision"], result["state"]))
        stands = {lesion["id"] for lesion in result["lesions"]} & set(case["shown"])
        gone = {
            n for n, fate in zip(case["shown"], one["fates"], strict=True) if fate == "rejected"
        }
        assert stands == set(case["shown"]) - gone, (case, one)
    assert len(kinds) > 7


def a_check(state: str, shown: list[int]) -> dict[str, Any]:
    """Give a result with lesions."""
    lesion = {"centre_mm": [0, 0, 0], "box_mm": None, "mean_diameter_mm": 4.0, "marked": True}
    listed = [{**lesion, "id": n} for n in shown]
    return {
        "check": "nodule",
        "state": state,
        "reason": None,
        "grade": None,
        "thresholds": None,
        "urgency": "note",
        "lesions": listed,
        "mask": None,
        "measures": {},
        "assessments": [],
        "text": {"en": "", "zh": ""},
    }


def test_who_leaves_the_page_at_once_loses_nothing(page: Page, pages: Pages) -> None:
    """What was decided less than a second ago is saved as the page goes."""
    url = f"{pages.url}/ui/screenings/{pages.studies['first'].screening}"
    page.goto(url)
    page.get_by_role("button", name="Begin review").click()
    accept = page.get_by_role("button", name="Accept: nodule 1")
    expect(accept).to_be_visible()
    page.keyboard.press("a")
    expect(accept).to_have_attribute("aria-pressed", "true")
    expect(page.locator('.decision[data-check="nodule"]')).not_to_have_attribute("data-decided", "")
    page.keyboard.press("u")
    page.wait_for_url(re.compile("/ui$"))
    page.goto(url)
    expect(accept).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.locator("#review-state")).to_contain_text("needs a decision. (nodule)")


def test_lesions_in_chinese_on_a_tablet(chromium: Browser, pages: Pages) -> None:
    """Nothing is cut off, and fingers find the buttons."""
    context = chromium.new_context(viewport=TABLET, has_touch=True, locale="zh-CN")
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    screening = f"/ui/screenings/{pages.studies['second'].screening}"
    with careful_page(context) as tablet:
        tablet.goto(pages.link("read", "review", onward=screening))
        tablet.get_by_role("button", name="开始审阅").tap()
        tablet.get_by_role("button", name="拒绝: nodule 2").tap()
        tablet.get_by_role("button", name="修改: nodule 1").tap()
        tablet.get_by_label("类型: nodule 1").select_option("ground_glass_nodule")
        tablet.get_by_role("button", name="在此添加病灶").first.tap()
        expect(tablet.locator('[data-lesion="nodule/+1"]')).to_be_visible()
        size = tablet.get_by_role("button", name="拒绝: nodule 2").bounding_box()
        assert size is not None
        assert min(size["width"], size["height"]) >= 40
        assert tablet.evaluate("document.documentElement.scrollWidth") <= TABLET["width"]
        tablet.get_by_role("button", name="在此添加病灶").last.scroll_into_view_if_needed()
        expect(tablet.locator('[data-plane="axial"] canvas')).to_be_in_viewport(ratio=0.9)
        assert serious(tablet) == []
        tablet.locator('article[data-check="nodule"]').scroll_into_view_if_needed()
        keep(tablet, "lesions-tablet-zh")
        tablet.set_viewport_size(DESK)
        assert tablet.evaluate("document.documentElement.scrollHeight") <= DESK["height"]
        keep(tablet, "lesions-zh")
    context.close()


# --- teaching ---------------------------------------------------------------------------------


def test_a_hidden_study_tells_nothing(pupil: BrowserContext, page: Page, pages: Pages) -> None:
    """Neither in its HTML nor in what its script is given; who may see it finds all of it there."""
    written = pages.studies["taught"]
    telling = (TOLD, "data-lesion", "nodule/1", "4A", "1767", "0.87", "positive", "solid_nodule")
    coordinates = [f"{value:.1f}" for value in centre_mm()]
    for path in (f"/ui/screenings/{written.screening}", f"/ui/studies/{written.study}"):
        with careful_page(pupil) as made:
            answer = made.goto(f"{pages.url}{path}")
            assert answer is not None
            source = answer.text()
            view = json.loads(made.locator("#study").get_attribute("data-view") or "")
            assert (view["lesions"], view["masks"], view["marks"]) == ([], [], [])
            assert view["volumes"]
            assert [word for word in (*telling, *coordinates) if word in source] == []
            expect(made.locator("article.check")).to_have_count(0)
            expect(made.locator("#review")).to_have_count(0)
        seen = page.goto(f"{pages.url}{path}")
        assert seen is not None
        whole = seen.text()
        assert [word for word in telling if word not in whole] == []


def test_a_pupil_marks_signs_and_is_compared(pupil: BrowserContext, pages: Pages) -> None:
    """One hit, one miss, one false mark, beside the findings that are shown now."""
    with careful_page(pupil) as page:
        page.goto(f"{pages.url}/ui")
        expect(page.locator("table.studies")).not_to_contain_text("Pair")
        page.get_by_role("link", name="Studies to mark").click()
        expect(page.locator("tbody tr")).to_have_count(len(STUDIES))
        assert TOLD not in page.content()
        keep(page, "to-mark")
        page.get_by_role("link", name="Pair taught").click()
        expect(page.locator("#marks")).to_contain_text("hidden until you have signed")
        ready(page)
        point_at(page, LESION)
        measure(page, LESION, 5)
        page.keyboard.press("k")
        rows = page.locator("#mark-list li")
        expect(rows).to_have_count(1)
        expect(rows.get_by_label("Diameter, mm: 1 Pulmonary nodules")).to_have_value(
            re.compile("1[3-6]")
        )
        assert coloured(page, VIOLET) > 60
        point_at(page, (30, 60, 40))
        page.get_by_role("button", name="Mark at the crosshair").click()
        page.keyboard.press("k")  # the same place is the same mark
        expect(rows).to_have_count(2)
        point_at(page, (31, 30, 30))
        page.keyboard.press("k")
        page.keyboard.type("8")
        page.keyboard.press("Enter")
        expect(rows).to_have_count(3)
        expect(rows.nth(2).locator("input")).to_have_value("8")
        page.keyboard.press("Delete")
        expect(rows).to_have_count(2)
        page.locator('[data-lesion="mark/1"]').click()
        at(page, "axial", LESION[0])
        saved(page, "#mark-state")
        assert serious(page) == []
        keep(page, "marks")
        page.reload()
        expect(rows).to_have_count(2)
        page.get_by_role("button", name="Sign and compare").click()
        compared = page.locator("#compared")
        expect(compared).to_contain_text("Compared with what the checks marked")
        expect(compared.locator("dl")).to_have_text("hit1missed1false marks1sensitivity50%")
        expect(page.locator('article[data-check="nodule"]')).to_contain_text(TOLD)
        compared.get_by_role("button", name="missed").click()
        at(page, "axial", SECOND[0])
        compared.get_by_role("button", name="false mark").click()
        at(page, "axial", 30)
        compared.get_by_role("button", name="hit").click()
        at(page, "axial", LESION[0])
        expect(page.locator("#review")).to_have_count(0)
        assert serious(page) == []
        keep(page, "compared")
        page.goto(f"{pages.url}/ui/to-mark")
        expect(page.locator("tbody tr")).to_have_count(len(STUDIES) - 1)


# --- reader studies ---------------------------------------------------------------------------


def test_a_reader_study_is_read_to_its_end(page: Page, pages: Pages, chromium: Browser) -> None:
    """Both sessions: case by case, the findings shown or hidden, at last the figures."""
    cases = [str(pages.studies[name].screening) for name in ("first", "second")]
    chief = {"Authorization": "Bearer key-of-the-test"}
    api = chromium.new_context(extra_http_headers=chief).request
    for case in cases:
        begun = api.post(f"{pages.url}/v1/screenings/{case}/reviews", data={}).json()
        review = f"{pages.url}/v1/reviews/{begun['review_id']}"
        content = {"findings": {"nodule": {"decision": "accepted"}}}
        assert api.put(review, data={"revision": 1, "content": content}).ok
        assert api.post(f"{review}/sign", data={"revision": 2}).ok
    context = with_key(chromium, pages, "anna")
    with careful_page(context) as mine:
        mine.goto(f"{pages.url}/ui")
        expect(mine.get_by_role("link", name="Reader studies")).to_have_count(0)
        made = api.post(
            f"{pages.url}/v1/reader-studies",
            data={
                "name": "Nodules <b>2026</b>",
                "seed": 7,
                "washout_days": 1,
                "readers": ["key:anna"],
                "screenings": cases,
            },
        )
        assert made.ok, made.text()
        mine.reload()
        mine.get_by_role("link", name="Reader studies").click()
        study = mine.locator("article.reader-study")
        expect(study).to_contain_text("Nodules <b>2026</b>")
        expect(study).to_contain_text("read 0 / 4")
        expect(study.get_by_role("link", name="Export as CSV")).to_have_count(0)
        mine.wait_for_load_state()
        keep(mine, "reader-studies")
        mine.keyboard.press("n")
        shown_arms = []
        for place in (1, 2):
            mine.wait_for_url(re.compile("/ui/screenings/"))
            expect(mine.locator("#marks")).to_contain_text(f"case {place} / 2")
            ready(mine)
            shown_arms.append(mine.locator("article.check").count() > 0)
            point_at(mine, LESION)
            mine.keyboard.press("k")
            mine.keyboard.press("Escape")
            if place == 1:
                keep(mine, "reading")
                mine.get_by_role("button", name="Sign, next case").click()
                expect(mine.locator("#marks")).to_contain_text("case 2 / 2")
            else:
                mine.get_by_role("button", name="Sign, next case").click()
        mine.wait_for_url(re.compile("/ui/reader-studies"))
        expect(study).to_contain_text("The second session opens on")
        expect(study.locator("button")).to_have_count(0)
        keep(mine, "washout")
        mine.goto(f"{pages.url}/ui/screenings/{cases[0]}")
        expect(mine.locator(".notice")).to_contain_text("you have yet to read this case")
        expect(mine.locator("#marks, #review, article.check")).to_have_count(0)

        async def wash_out() -> None:
            async with pages.app[DATABASE].connection() as connection:
                await connection.execute("UPDATE reader_studies SET washout_days = 0")

        pages.run(wash_out())
        mine.goto(f"{pages.url}/ui/reader-studies")
        expect(study.get_by_role("button", name="Next case")).to_be_focused()
        mine.keyboard.press("Enter")
        mine.wait_for_url(re.compile("/ui/screenings/"))
        shown_arms.append(mine.locator("article.check").count() > 0)
        mine.get_by_role("button", name="Sign and stop").click()
        mine.wait_for_url(re.compile("/ui/reader-studies"))
        study.get_by_role("button", name="Next case").click()
        mine.wait_for_url(re.compile("/ui/screenings/"))
        shown_arms.append(mine.locator("article.check").count() > 0)
        mine.goto(f"{pages.url}/ui/reader-studies")
        expect(study).to_contain_text("Its clock is running")
        study.get_by_role("button", name="Go on with the case").click()
        mine.get_by_role("button", name="Sign, next case").click()
        mine.wait_for_url(re.compile("/ui/reader-studies"))
        expect(study).to_contain_text("You have read all cases")
        assert sorted(shown_arms) == [False, False, True, True]
        expect(study.locator("tbody tr")).to_have_count(2)
        expect(study.locator("tbody")).to_contain_text("25% (1/4)")
        export = study.get_by_role("link", name="Export as CSV").get_attribute("href")
        text = mine.request.get(f"{pages.url}{export}").text()
        assert text.count("key:anna") == 4
        assert serious(mine) == []
        keep(mine, "figures")
        mine.goto(f"{pages.url}/ui/screenings/{cases[0]}")
        compared = mine.locator("#compared")
        expect(compared).to_contain_text("Compared with the final report")
        expect(compared.get_by_role("button", name="missed").first).to_be_visible()
        expect(mine.get_by_role("button", name="Amend")).to_be_visible()
        mine.set_viewport_size(TABLET)
        mine.goto(f"{pages.url}/ui/reader-studies?lang=zh")
        expect(study).to_contain_text("您已读完全部病例")
        keep(mine, "figures-tablet-zh")
    context.close()
    page.goto(f"{pages.url}/ui/reader-studies")
    expect(page.locator("article.reader-study")).to_contain_text("not one of its readers")
