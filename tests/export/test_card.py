"""The card says what is so, and nothing breaks its page."""

import json
import re

import pytest

from tests.helpers.exporting import FACTS
from tfp_cinn import UsageError
from tfp_cinn.export.card import checked_facts, make_card, to_markdown
from tfp_cinn.export.signatures import card_signature, signatures

ROUNDING = {"batch": 64, "median": 3e-7, "largest": 1e-4}


def card_of(model, facts, rounding=ROUNDING):
    described = [*signatures(model, "x", "cond"), card_signature("")]
    return make_card(model, "m", 1, described, [1, 64], False, rounding, checked_facts(facts))


def test_facts_that_the_card_says_itself_are_refused(model):
    own = card_of(model, FACTS).keys() - FACTS.keys()
    assert own >= {"name", "version", "signatures", "batch_sizes", "made_with"}
    for key in own:
        with pytest.raises(UsageError, match=f"facts: {key} stand in the card anyway"):
            checked_facts(FACTS | {key: "mine"})
    assert checked_facts(FACTS | {"license": ("MIT", {"name": 3})}) == FACTS | {
        "license": ["MIT", {"name": 3}]
    }


CIRCLE = {}
CIRCLE["circle"] = CIRCLE


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"x": {1, 2}}, "facts: expected strings, finite numbers, .*set is not JSON"),
        (CIRCLE, "facts: expected strings, finite numbers"),
        ({"evaluation": {"x": 1.5}}, "facts: expected evaluation to hold a mean and a standard_e"),
    ],
)
def test_facts_that_no_card_can_hold_are_refused_in_one_line(facts, message):
    with pytest.raises(UsageError, match=message) as caught:
        checked_facts(facts)
    assert "\n" not in str(caught.value)


def test_values_cannot_break_the_tables(model):
    names = ["a|b", "c\nd", "| --- |"] + ["e"] * 7
    page = to_markdown(
        card_of(
            model,
            {
                "class_names": names,
                "odd|key\n": "one\ntwo | three",
                "nested": {"a": [1, {"b": "|"}]},
                "evaluation": {"x|y": {"mean": 1.0, "standard_error": 0.1}},
            },
        )
    )
    assert r"| class names | a\|b, c d, \| --- \|, e" in page
    assert r"| odd\|key | one two \| three |" in page
    assert r'| nested | {"a": [1, {"b": "\|"}]} |' in page
    assert r"| x\|y | 1 | 0.1 |  |  |" in page
    cells = 0
    for line in page.splitlines():
        if line.startswith("|"):
            count = len(re.findall(r"(?<!\\)\|", line))
            cells = cells or count
            assert count == cells, line
        else:
            cells = 0


def test_rounding_is_said_where_it_was_measured(model, published):
    assert "by 3.0e-07 of a row's" in to_markdown(card_of(model, FACTS))
    assert "1.0e-04 at most" in to_markdown(card_of(model, FACTS))
    assert "at most" not in to_markdown(card_of(model, FACTS, rounding=None))
    rounding = json.loads((published / "model_card.json").read_text())["rounding"]
    assert rounding["batch"] == 64
    assert 0 < rounding["median"] <= rounding["largest"] < 1e-5
