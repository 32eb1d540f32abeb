"""The page: one file that needs nothing else, tells the verdict first, and shows nothing it was not given."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from report_cases import TURN, errors, registration, sources

from xmatch.geometry import ThinPlateSpline
from xmatch.report import evidence, make_previews, registration_document, render_html
from xmatch.report.advice import LOOK, advice, wider
from xmatch.report.charts import BOTTOM, HEIGHT, RIGHT, TOP, WIDTH
from xmatch.report.drawing import edges_png, jpeg, match_lines, residual_arrows
from xmatch.report.numbers import number, percent, quantity
from xmatch.report.page import odds_sentence, replay_command, residual_histogram

CORNERS = np.array([[0, 0], [80, 0], [0, 60], [80, 60]], dtype=float)


class Page(HTMLParser):
    """Tags, ids, references and the text that a reader sees."""

    VOID = {"meta", "link", "input", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.ids, self.references, self.labelled_by, self.open, self.words = [], [], [], [], [], []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.references += [attrs[name] for name in ("href", "src", "action", "data", "poster") if name in attrs]
        self.labelled_by += [attrs[name] for name in ("aria-labelledby", "for") if name in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)


def rendered(made=None, *, pictures: bool = True, output: str | None = None) -> str:
    made = made or registration()
    previews = make_previews(*sources(), made) if pictures else None
    return render_html(registration_document(made, output=output, previews=previews), previews)


@pytest.fixture(scope="module")
def accepted() -> str:
    return rendered(output="moving.registered.tif")


@pytest.fixture(scope="module")
def rejected() -> str:
    verdict = replace(registration(accepted=False).verdict, evidence={"coverage": 0.02, "inlier_share": 0.9})
    return rendered(registration(accepted=False, verdict=verdict))


def test_a_page_has_one_count_of_inliers():
    """The verdict's evidence counts those of its first look, which may be others than the final map's."""
    verdict = replace(registration().verdict, evidence={"inliers": 17.0, "inlier_share": 0.4, "coverage": 0.5})
    text = " ".join(Page(rendered(registration(verdict=verdict))).words)
    counts = set(re.findall(r"of (\d+) inliers|Inliers\s+(\d+)", text))
    assert {number for found in counts for number in found if number} == {"45"}
    assert not re.search(r"\b17\b", text)


def test_the_page_asks_nothing_of_the_world(accepted):
    page = Page(accepted)
    assert page.references
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest|https?://", accepted)
    policies = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and "default-src 'none'" in policies[0]


def test_the_page_is_well_formed_and_its_references_resolve(accepted, rejected):
    for text in (accepted, rejected, rendered(pictures=False)):
        page = Page(text)
        assert not page.open
        assert len(page.ids) == len(set(page.ids))
        wanted = [r[1:] for r in page.references if r.startswith("#")] + re.findall(r"url\(#([\w-]+)\)", text)
        assert set(wanted) | set(page.labelled_by) <= set(page.ids)


def test_every_picture_and_control_has_words(accepted):
    page = Page(accepted)
    for tag, attrs in page.tags:
        if tag == "svg":
            assert attrs.get("aria-label") or attrs.get("aria-hidden") == "true"
    controls = [attrs["id"] for tag, attrs in page.tags if tag == "input"]
    labels = {attrs.get("for") for tag, attrs in page.tags if tag == "label"}
    wrapped = re.findall(r"<label[^>]*>[^<]*<input[^>]*id=\"([\w-]+)\"", accepted)
    assert controls and set(controls) <= labels | set(wrapped)


def test_names_and_notes_cannot_become_markup():
    nasty = "<script>alert(1)</script>\"'&{{ 7*7 }}.tif"
    made = registration(
        fixed={"path": nasty, nasty: nasty},
        notes=(nasty,),
        seconds={nasty: 1.0},
        provenance={nasty: {nasty: [nasty]}, "command": [nasty]},
        verdict=replace(registration().verdict, reason=nasty, evidence={nasty: 1.0}, ground_unit=nasty),
    )
    text = rendered(made, output=nasty)
    assert "<script>alert" not in text
    assert "49.tif" not in text
    assert Page(text).text.count(nasty) >= 6
    assert not Page(text).open


def test_a_file_name_that_is_no_text_still_gives_a_page():
    name = b"\xff\xfe.tif".decode("utf-8", "surrogateescape")
    assert rendered(registration(fixed={"path": name})).encode("utf-8")


def test_an_accepted_result_says_so_first_with_error_and_units(accepted):
    text = Page(accepted).text
    assert text.index("Trusted") < text.index("About 97 of 100 registrations") < text.index("See for yourself")
    assert "1.8 px" in text and "18 m on the ground" in text
    assert "moving.registered.tif" in text
    assert "Not trusted" not in text and "What to try" not in text


def test_a_rejected_result_names_what_was_missing_and_what_to_try(rejected):
    text = Page(rejected).text
    assert text.index("Not trusted") < text.index("What was missing") < text.index("What to try")
    missing = text[text.index("What was missing") : text.index("What to try")]
    assert "Coverage: 2 %" in missing and "Agreeing share" not in missing
    assert "No registered raster was written" in text
    assert "Expected error" not in text and "Trusted:" not in text


def test_an_unreliable_raster_that_was_kept_is_warned_of():
    text = Page(rendered(registration(accepted=False), output="x.unreliable.tif")).text
    assert "x.unreliable.tif" in text and "No registered raster was written" not in text
    assert "may be wrong everywhere" in text


def test_nothing_found_gives_a_page_with_both_images():
    text = rendered(registration(None, accepted=False, count=0))
    assert "The two images as they are" in text
    assert text.count("data:image/jpeg") == 2
    assert "None could be estimated" in text


def test_numbers_alone_make_a_page_too():
    text = rendered(pictures=False)
    assert "data:image" not in text and "See for yourself" not in text
    assert "10\u00b0" in Page(text).text


def test_a_bending_transform_shows_how_far_it_bends():
    bent = ThinPlateSpline(np.vstack([CORNERS, [[40, 30]]]), np.vstack([CORNERS, [[46, 30]]]))
    assert "Beyond affine" in rendered(registration(bent))
    assert "Beyond affine" not in rendered()


def test_the_pictures_are_inlined_once_each(accepted):
    assert accepted.count("data:image/jpeg") == 3 and accepted.count("data:image/png") == 1


def test_match_lines_join_the_places_they_belong_to():
    previews = make_previews(*sources(), registration(count=400))
    lines = match_lines(previews, width=500, gap=10)
    left, scale = map(float, re.match(r"translate\(([\d.]+) 0\) scale\(([\d.]+)\)", lines.moving_place).groups())
    numbers = np.array(re.findall(r"M([\d.-]+) ([\d.-]+)L([\d.-]+) ([\d.-]+)", lines.inlier_lines), float)
    assert len(numbers) == lines.inliers == previews.inliers.sum()
    np.testing.assert_allclose((numbers[:, 2:] - (left, 0)) / scale, previews.moving_xy[previews.inliers], atol=0.05)
    fixed_scale = float(re.search(r"[\d.]+", lines.fixed_place)[0])
    np.testing.assert_allclose(numbers[:, :2] / fixed_scale, previews.fixed_xy[previews.inliers], atol=0.05)


def test_residual_arrows_are_as_many_times_too_long_as_they_say():
    previews = make_previews(*sources(), registration())
    arrows = residual_arrows(previews)
    x, y, u, v = np.array(re.findall(r"M([\d.-]+) ([\d.-]+)L([\d.-]+) ([\d.-]+)", arrows.path), float).T
    residual = (previews.mapped_xy - previews.fixed_xy)[previews.inliers]
    assert arrows.exaggeration > 1
    np.testing.assert_allclose(np.column_stack([u - x, v - y]), residual * arrows.exaggeration, atol=0.11)
    assert arrows.key_length == pytest.approx(arrows.key_px * arrows.exaggeration)


def test_no_inlier_no_arrow():
    assert residual_arrows(make_previews(*sources(), registration(inliers=np.zeros(60, bool)))) is None


def decoded(uri: str) -> np.ndarray:
    import base64

    import cv2

    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED)


def test_no_data_is_hatched_and_colours_keep_their_order():
    colour = np.zeros((32, 32, 3), np.uint8)
    colour[..., 0] = 200
    valid = np.ones((32, 32), bool)
    valid[:, 16:] = False
    shown = decoded(jpeg(colour, valid))
    blue, green, red = shown[16, 4].astype(int)
    assert red > 180 and green < 30 and blue < 30
    assert shown[:, 20:].min() > 100


def test_edges_lie_on_the_edge_and_not_on_the_border_of_no_data():
    grey = np.full((60, 60), 50, np.uint8)
    grey[:, 30:] = 200
    valid = np.ones((60, 60), bool)
    valid[:20] = False
    alpha = decoded(edges_png(np.where(valid, grey, 0).astype(np.uint8), valid))[..., 3]
    rows, columns = np.nonzero(alpha)
    assert len(rows) > 20
    assert abs(columns - 29.5).max() <= 3
    assert rows.min() >= 20


def test_bars_stand_on_the_axis_and_the_fullest_fills_the_height():
    drawn = residual_histogram({"edges_px": [0.0, 1.0, 2.0, 4.0], "counts": [2, 8, 0]})
    floor, full = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    assert [bar.y + bar.height for bar in drawn.bars] == [floor] * 3
    assert [bar.height / full for bar in drawn.bars] == [0.25, 1.0, 0.0]
    assert drawn.bars[2].width > 1.9 * drawn.bars[0].width
    assert [text for _, text in drawn.x_ticks] == ["0", "1", "2", "3", "4"] and drawn.x_ticks[-1][0] == WIDTH - RIGHT


def test_counts_have_whole_ticks():
    drawn = residual_histogram({"edges_px": [0.0, 1.0], "counts": [2]})
    assert [text for _, text in drawn.y_ticks] == ["0", "1", "2"]


def test_weak_measures_are_marked_and_their_advice_comes_first():
    rows = {row.name: row for row in evidence.rows({"odd_one": 0.25, "halves_px": 9.0, "coverage": 0.8})}
    assert list(rows) == ["coverage", "halves_px", "odd_one"]
    assert [row.weak for row in rows.values()] == [False, True, False]
    assert rows["odd_one"].label == "Odd one" and rows["coverage"].value == "80\u202f%"
    said = advice(document_of({"halves_px": 9.0}))
    assert said[0] == evidence.MEASURES["halves_px"].advice and LOOK in said


def document_of(measured=None, crs=None, **options):
    files = {"fixed": {"crs": crs}, "moving": {"crs": crs}}
    return {"verdict": {"evidence": measured or {}}, "provenance": {"options": options}, **files}


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (document_of(max_scale=2.0, mirror=False), ["--max-scale 4", "--mirror", "--tie-points"]),
        (document_of(max_scale=4.0, mirror=True, max_angle=30.0), ["--max-scale 8", "--max-angle 180", "--tie-points"]),
        (document_of(crs="EPSG:4326", mirror=True), ["--ignore-georef", "--tie-points"]),
        (document_of(tie_points="hand.csv"), ["--near-shift"]),
        (document_of(tie_points="hand.csv", tie_points_only=True), ["More points"]),
    ],
)
def test_what_the_search_left_out_is_named_with_its_option(document, named):
    said = wider(document)
    assert len(said) == len(named) and all(name in line for name, line in zip(named, said, strict=True))


def test_a_measure_that_is_unknown_is_not_called_weak():
    assert not evidence.rows({"coverage": None})[0].weak


@pytest.mark.parametrize(
    ("probability", "accepted", "sentence"),
    [
        (0.973, True, "About 97 of 100"),
        (0.9951, True, "More than 99 of 100"),
        (0.06, False, "Only about 6 of 100"),
        (0.001, False, "Fewer than 1 of 100"),
        (None, False, "There was not enough evidence"),
    ],
)
def test_odds_are_a_count_that_people_can_picture(probability, accepted, sentence):
    assert odds_sentence(probability, accepted).startswith(sentence)


def test_the_command_is_ready_for_a_shell():
    document = registration_document(registration(), output="out.tif")
    assert replay_command(document) == "xmatch register 'a b.tif' c.tif"
    document["provenance"] = {"options": {"seed": 7, "matcher": "sift", "weights": None}}
    assert replay_command(document) == "xmatch register fixed.tif moving.tif --matcher sift --seed 7 --output out.tif"


def test_numbers_are_short_and_true():
    minus, thin = "\u2212", "\u202f"
    assert [number(v) for v in (0, 12345, -1.2345, 0.000012, None, float("nan"))] == [
        "0", f"12{thin}345", f"{minus}1.23", f"1.20e{minus}05", "unknown", "unknown",
    ]  # fmt: skip
    assert [percent(v) for v in (0, 0.0004, 0.97, 0.996, 0.99999, 1)] == [
        f"{text}{thin}%" for text in ("0", "<\u20090.1", "97", "99.6", ">\u200999.9", "100")
    ]
    assert quantity(2.0, "um") == f"2{thin}\u00b5m" and quantity(None, "m") == "unknown"


def test_the_transform_is_shown_in_words(accepted):
    text = Page(accepted).text
    assert TURN.kind in text and "Rotation 10\u00b0" in text and "1.200 \u00d7 1.200" in text


def test_the_expected_error_is_drawn_cell_by_cell_and_what_is_continued_is_hatched():
    page = rendered(registration(error_map=errors()))
    titles = re.findall(r"<title>([^<]*)</title></rect>", page)
    assert len(titles) == 11 and titles[0] == "1\u202fpx (10\u202fm)" and "no tie point holds" in titles[3]
    assert (
        page.count('class="continued"') == 2 and "18\u202f%</b>" not in page and "of the overlap: no tie point" in page
    )
    assert "error-title" not in rendered()


def test_how_a_map_bends_is_drawn_where_it_does():
    moved = CORNERS + [[0, 0], [0, 0], [0, 0], [12.0, 0]]
    control = np.vstack([CORNERS, [[40.0, 30.0]]]), np.vstack([moved, [[43.0, 30.0]]])
    page = rendered(registration(ThinPlateSpline(*control)))
    assert "bend-title" in page and "bending" in Page(page).text
    assert "bend-title" not in rendered()
