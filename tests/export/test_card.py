"""The card says what is so, and nothing breaks its page."""

import pytest

from tests.helpers.exporting import FACTS
from tfp_cinn import UsageError
from tfp_cinn.export.card import checked_facts, make_card, to_markdown
from tfp_cinn.export.signatures import card_signature, signatures


def card_of(model, facts):
    described = [*signatures(model, "x", "cond"), card_signature("")]
    return make_card(model, "m", 1, described, [1, 64], False, checked_facts(facts))


def test_facts_that_the_card_says_itself_are_refused(model):
    own = card_of(model, FACTS).keys() - FACTS.keys()
    assert own >= {"name", "version", "signatures", "batch_sizes", "made_with"}
    for key in own:
        with pytest.raises(UsageError, match=f"facts: {key} are the card's own names"):
            checked_facts(FACTS | {key: "mine"})
    assert checked_facts(FACTS | {"license": ("MIT", {"name": 3})}) == FACTS | {
        "license": ["MIT", {"name": 3}]
    }


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"x": {1, 2}}, "facts: expected strings, finite numbers, .*set is not JSON"),
        ({"evaluation": {"x": 1.5}}, "facts: expected evaluation to hold a mean and a standard_e"),
    ],
)
def test_facts_that_no_card_can_hold_are_refused_in_one_line(facts, message):
    with pytest.raises(UsageError, match=message) as caught:
        checked_facts(facts)
    assert "\n" not in str(caught.value)


def test_the_page_has_a_line_for_each_fact(model):
    more = {"odd\nkey": "one\ntwo", "nested": {"a": [1, {"b": 2}]}}
    page = to_markdown(
        card_of(model, FACTS | more | {"evaluation": {"x": {"mean": 1.0, "standard_error": 0.1}}})
    )
    for line in ("- levels: 17", '- nested: {"a": [1, {"b": 2}]}', "- x: 1 ± 0.1"):
        assert f"\n{line}\n" in page
    assert "one two" in page and "- class names: 0, 1, 2" in page
    assert "\n- output `log_prob`, float32 [N]: nats, of a density in the units of x\n" in page
