"""The text gate: what it must stop, what it must let through, and that no text breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.niches.lean import setup
from speciate.niches.lean.gate import FORBIDDEN, MAX_BYTES, MAX_DIGITS, MAX_NESTING, Refusal
from speciate.niches.lean.gate import refusal as refusal_of
from speciate.niches.lean.verdict import REASONS, LeanJob


def refusal(proof: str) -> Refusal | None:
    return refusal_of(LeanJob("", "theorem t : True", proof))


HONEST = (
    "omega",
    "exact Nat.add_comm x y",
    "induction n with\n| zero => rfl\n| succ n h => simp [h]",
    "have h : xs[0]? = none := by simp\nexact h",
    "exact xs.head?.getD 0",
    "simp only [List.get?_eq_getElem?]",
    "-- sorry\nomega",
    "/- a /- nested sorry -/ comment -/ rfl",
    'exact (rfl : "sorry" = "sorry")',
    'exact (rfl : r#"a " sorry"# = _)',
    "intro sorry' h_where\nexact h_where",
    "exact Foo.sorry",
    "exact «where»",
    "exact .stop",
    "exact h.1.end",
    "exact #[1, 2]",
    "exact h.2",
    "decide",
    "exact ⟨7, rfl⟩",
    "calc\n  a = b := h\n  _ = c := g",
    "norm_cast\r\nrfl",
    "exact (1_000_000 : Nat)",
    "exact (0xFF : Nat)",
)


@pytest.mark.parametrize("proof", HONEST)
def test_honest_text_passes(proof: str) -> None:
    assert refusal(proof) is None


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        ("sorry", "sorry"),
        ("(sorry)", "sorry"),
        ("first|rfl|sorry", "sorry"),
        ("omega;admit", "sorry"),
        ("exact?", "search"),
        ("apply? using h", "search"),
        ("/- -/ native_decide -- x", "native"),
        ("set_option maxHeartbeats 0 in omega", "option"),
        ("exact h where h := rfl", "declaration"),
        ('exact "a" ++ s!"" ; sorry', "sorry"),
        ("'\"'; sorry --\"", "sorry"),
        ("skip\naxiom h : False", "command"),
        ("omega\n#eval 1", "command"),
        ("run_tac skip", "metaprogramming"),
        ("unsafe 1", "unsafe"),
        ("sleep 1", "effect"),
        ("exact " + "(" * (MAX_NESTING + 1), "nesting"),
        ("exact " + "⟨[" * MAX_NESTING, "nesting"),
        ("have : " + "¬" * (MAX_NESTING + 1) + "p", "nesting"),
        ("exact " + "9" * (MAX_DIGITS + 1), "literal"),
        ("exact 0x" + "f" * MAX_DIGITS, "literal"),
        ("exact 1" + "_000" * 7, "literal"),
        ("x" * (MAX_BYTES + 1), "size"),
        ("∀" * (MAX_BYTES // 3 + 1), "size"),
        ("omega\0", "characters"),
        ("omega \u202e", "characters"),
        ("omega\u200b", "characters"),
        ("omega \ud800", "characters"),
        ("omega\u2028", "characters"),
        ("omega\x1b[2J", "characters"),
    ],
)
def test_what_is_refused(proof: str, reason: str) -> None:
    found = refusal(proof)
    assert found is not None
    assert found.reason == reason
    assert reason in REASONS


def test_a_comment_without_end_hides_nothing_after_it() -> None:
    assert refusal("/- sorry") is None


def test_the_checker_forbids_the_same_words() -> None:
    checker = setup.CHECKER.read_text(encoding="utf-8")
    commands = {word for word, name in FORBIDDEN.items() if name == "command"}
    only_in_commands = {"declare_syntax_cat", "elab_rules"} | commands
    assert [word for word in FORBIDDEN.keys() - {"sorryAx"} - only_in_commands if f'"{word}"' not in checker] == []
    assert "`sorryAx" in checker


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (LeanJob("", "theorem t : \ud800", "rfl"), "statement"),
        (LeanJob("", "theorem t : True\0", "rfl"), "statement"),
        (LeanJob("-- \udcff", "theorem t : True", "rfl"), "context"),
    ],
)
def test_a_job_that_is_no_text_is_refused(job: LeanJob, reason: str) -> None:
    found = refusal_of(job)
    assert found is not None
    assert found.reason == reason


@given(st.text(max_size=400))
def test_no_text_breaks_it(proof: str) -> None:
    found = refusal(proof)
    assert found is None or found.detail


@given(st.text("()[]{}⟨⟩-/\"'«»r#\\ \nsory", max_size=200))
def test_no_tangle_of_delimiters_breaks_it(proof: str) -> None:
    found = refusal(proof)
    assert found is None or (found.reason and found.detail)


@given(st.sampled_from(sorted(FORBIDDEN)), st.sampled_from(HONEST[:8]))
def test_a_forbidden_word_on_a_line_of_its_own_is_found(word: str, proof: str) -> None:
    found = refusal(f"{proof}\n{word}")
    assert found is not None
    assert found.detail == word


@given(st.sampled_from(sorted(FORBIDDEN)), st.text("abcxyz₁'_", min_size=1, max_size=5))
def test_a_forbidden_word_within_a_longer_name_is_none(word: str, more: str) -> None:
    assert refusal(f"exact {word}{more}") is None or f"{word}{more}" in FORBIDDEN


@given(st.lists(st.sampled_from(["(", ")", "[", "]", " x ", "-- (\n", '"(" ', "/- ( -/ "]), max_size=300))
def test_nesting_is_what_the_brackets_say(parts: list[str]) -> None:
    depth = deepest = 0
    for part in parts:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(part, 0)
        deepest = max(deepest, depth)
    found = refusal("".join(f"{part} " for part in parts))
    if deepest > MAX_NESTING:
        assert found is not None
    else:
        assert found is None
