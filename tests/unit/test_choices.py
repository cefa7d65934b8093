"""What was tried on development items is shown: in one line, in a table, and drawn."""

import json

from example_comparisons import comparison
from example_records import chosen, run_record

from speciate.records import RunRecord
from speciate.reports import choices, terminal
from speciate.reports.page import render_page


def test_a_run_says_what_was_taken_and_why() -> None:
    record = run_record(chosen={"strength": chosen()})
    shown = " ".join(terminal.text(terminal.render_run(record)).split())
    assert (
        "Strength 0.9, of 3 that were tried: the strongest whose forgetting on development items is below the bound"
        in shown
    )
    assert "+67.5 points gained on 100 items, lost 2.0 points on 380 items, 95% sure of less than 3.0" in shown
    assert "no development items of harness_task" in shown
    assert RunRecord.model_validate(json.loads(json.dumps(record.document()))) == record


def test_a_page_shows_all_that_was_tried() -> None:
    arms = [arm.model_copy(update={"chosen": {"strength": chosen()}}) for arm in comparison().arms]
    table = choices.table(arms)
    assert [row[0] for row in table.rows] == [0, 0, 0, 1, 1, 1]
    assert [row[-1] for row in table.rows[:3]] == ["", "taken", ""]
    assert table.rows[0][1:6] == ("Strength 1", "+75.0 (+70.0 to +80.0)", "+4.0", "+5.0", "no")
    page = render_page(comparison().model_copy(update={"arms": arms}))
    assert 'id="choices"' in page
    assert "strength 0.9" in page
    assert "gain on development items for each strength" in page


def test_a_page_of_runs_that_chose_nothing_has_no_such_section() -> None:
    assert 'id="choices"' not in render_page(comparison())
