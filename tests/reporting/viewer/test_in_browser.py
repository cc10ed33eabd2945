"""The report in a browser: its controls change the picture, its numbers are those of the run, nothing fails."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from blank_pictures import blank_pictures
from browser import act_on_page, needs_chromium
from viewer_runs import EPOCHS, SHAPE, SPACING, write_viewed_run

from aunet.reporting.report import build_report
from aunet.runs.run_folder import RunFolder

INFERNO_AT_04 = round(255 * matplotlib.colormaps["inferno"](102)[0])

pytestmark = [needs_chromium, pytest.mark.slow]

_ACTIONS = """
const get = (id) => document.getElementById(id);
await wait(() => get("viewer").dataset.ready);
const canvases = [...document.querySelectorAll("#viewer canvas")];
const sliders = [...document.querySelectorAll("#viewer .plane input")];
const look = () => canvases.map((canvas) => canvas.toDataURL()).join();
const set = (input, value) => { input.value = value; input.dispatchEvent(new Event("input")); };
const press = (target, key) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const choose = async (number) => {
  get("viewer-case").value = number;
  get("viewer-case").dispatchEvent(new Event("change"));
  await wait(() => get("viewer").dataset.case === String(number));
};
const changes = {};
const note = (name, act) => { const before = look(); act(); changes[name] = look() !== before; };
get("show-cross").click();
const pixel = (x, y) => {
  const { width, height } = canvases[0];
  return [...canvases[0].getContext("2d").getImageData(x * width, y * height, 1, 1).data];
};
get("show-reference").click();
get("show-prediction").click();
const found = { ramp: [pixel(0.03, 0.03)[0], pixel(0.97, 0.03)[0]] };
get("show-reference").click();
get("show-prediction").click();
found.titles = [...get("viewer-case").options].map((option) => option.textContent);
found.ratio = canvases.map((canvas) => canvas.clientWidth / canvas.clientHeight);
sliders.forEach((slider, number) => note(`slider ${number}`, () => set(slider, 4)));
set(sliders[2], 5);
note("page up", () => press(canvases[2], "PageUp"));
found.index = Number(sliders[2].value);
const wheel = new WheelEvent("wheel", { deltaY: 1, cancelable: true });
canvases[2].dispatchEvent(wheel);
found.wheel = [Number(sliders[2].value), wheel.defaultPrevented];
set(sliders[0], 5);
set(sliders[1], 6);
set(sliders[2], 3);
for (const layer of ["image", "reference", "prediction", "differences"]) {
  note(layer, () => get(`show-${layer}`).click());
}
note("key i", () => press(canvases[0], "i"));
found.place = get("viewer-place").textContent;
await choose(3);
found.last = [get("viewer-map").value, get("viewer-frame-name").textContent, get("show-prediction").disabled];
note("epoch", () => set(get("viewer-frame"), 0));
found.frame = get("viewer-frame-name").textContent;
note("arrow right", () => press(canvases[0], "ArrowRight"));
found.coefficient = get("viewer-place").textContent;
set(get("viewer-opacity"), 100);
found.attention = [0.02, 0.8, 0.98].map((across) => pixel(across, 0.3)[0]);
note("stretch", () => get("viewer-stretch").click());
note("no attention", () => { get("viewer-map").value = -1; get("viewer-map").dispatchEvent(new Event("change")); });
const table = document.querySelector("table.sortable");
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim());
const head = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.startsWith("Dice"));
const texts = (row) => [row.cells[0].textContent.trim(), row.cells[head].textContent.trim()];
found.dice = Object.fromEntries([...table.tBodies[0].rows].map(texts));
const click = () => table.tHead.rows[0].cells[head].querySelector("button").click();
click();
found.ascending = order();
click();
found.descending = order();
found.sort = table.tHead.rows[0].cells[head].getAttribute("aria-sort");
found.wide = document.documentElement.scrollWidth > innerWidth;
return { found, changes };
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_viewed_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def outcome(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with blank_pictures():
        page = build_report(run.path)
    return act_on_page(page, _ACTIONS, tmp_path_factory.mktemp("browser"), size=(1024, 600))


def test_page_reports_no_error_and_breaks_no_policy(outcome: Any) -> None:
    assert outcome[1] == []


def test_every_control_changes_the_picture(outcome: Any) -> None:
    changes = outcome[0]["changes"]
    assert len(changes) == 13
    assert [name for name, has_changed in changes.items() if not has_changed] == []


def test_keys_and_wheel_step_through_the_slices_and_stop_at_the_last(outcome: Any) -> None:
    found = outcome[0]["found"]
    assert found["index"] == 15
    assert found["wheel"] == [14, True]


def test_planes_have_the_proportions_of_the_scan_in_mm(outcome: Any) -> None:
    right, front, head = (count * side for count, side in zip(SHAPE, SPACING, strict=True))
    assert outcome[0]["found"]["ratio"] == pytest.approx([right / front, right / head, front / head], rel=0.02)


def test_the_patients_right_is_on_the_left(outcome: Any) -> None:
    """The image brightens towards the patient's right."""
    left_edge, right_edge = outcome[0]["found"]["ramp"]
    assert left_edge > 200
    assert right_edge < 50


def test_attention_lies_over_its_voxels(outcome: Any) -> None:
    """It is 0 over the two leftmost of the patient's 20 columns, which are on the right, and 0.4 elsewhere."""
    left, middle, right = outcome[0]["found"]["attention"]
    assert [left, middle] == [INFERNO_AT_04] * 2
    assert right < 10


def test_cases_are_listed_from_the_worst_with_names_as_text(outcome: Any) -> None:
    titles = outcome[0]["found"]["titles"]
    assert [title.split(" (")[0] for title in titles] == [
        "Worst test case: case_0",
        "Median test case: case_1",
        "Best test case: case_2",
        "Validation case, every epoch: watched",
    ]


def test_place_is_named_by_reference_and_prediction(outcome: Any) -> None:
    """Axial slider 5 and coronal slider 6 are in the kidney, whose slices from 4 the worst prediction misses."""
    place = outcome[0]["found"]["place"]
    assert place == "voxel 3, 6, 5 · reference: left <kidney> · prediction: background"


def test_epochs_are_slid_over_and_coefficients_read(outcome: Any) -> None:
    found = outcome[0]["found"]
    assert found["last"] == ["0", f"epoch {EPOCHS[-1]}", True]
    assert found["frame"] == f"epoch {EPOCHS[0]}"
    assert found["coefficient"].endswith(f"level 2: {(EPOCHS[1] + 1) / 10:.3f}")


def test_numbers_are_those_of_the_summary(outcome: Any, run: RunFolder) -> None:
    summary = json.loads(run.test.summary.read_text())
    dice = {name: entry["dice"] for name, entry in summary.items()}
    expected = {name: f"{entry['mean']:.3f} ± {entry['sd']:.3f}" for name, entry in dice.items()}
    assert outcome[0]["found"]["dice"] == expected


def test_tables_sort_by_a_click_and_back(outcome: Any) -> None:
    found = outcome[0]["found"]
    assert found["ascending"] == ["left <kidney>", "spleen"]
    assert found["descending"] == ["spleen", "left <kidney>"]
    assert found["sort"] == "descending"


def test_page_is_not_wider_than_a_small_laptop(outcome: Any) -> None:
    assert outcome[0]["found"]["wide"] is False


def test_browser_that_cannot_unpack_shows_the_pictures_alone(run: RunFolder, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    text = run.report.read_text("utf-8") if run.report.is_file() else build_report(run.path).read_text("utf-8")
    page.write_text(text.replace("<title>", "<script>delete window.DecompressionStream;</script><title>", 1), "utf-8")
    script = 'return [document.getElementById("viewer").hidden, document.getElementById("viewer-fault").hidden];'
    assert act_on_page(page, script, tmp_path) == ([True, False], [])
