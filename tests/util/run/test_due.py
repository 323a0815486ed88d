"""What happens after which step, by hand."""

from dataclasses import replace

from util.config.presets import preset
from util.run.due import owes_validation, whats_due


def test_what_happens_after_a_step_by_hand() -> None:
    every = replace(preset("xmem").validation, validate_every=6)
    run = replace(preset("xmem"), log_every=4, picture_every=8, save_every=10, validation=every)

    def due(step: int, over: bool = False, stopped: bool = False) -> str:
        return "".join(name[0] for name, so in whats_due(run, step, over, stopped)._asdict().items() if so)

    assert [due(step) for step in (1, 4, 6, 8, 10, 12)] == ["", "l", "lvc", "lp", "lc", "lvc"]
    assert due(9, over=True) == "lvc", "the end is judged and kept"
    assert due(9, over=True, stopped=True) == "lc", "a signal leaves no time for validation"
    assert due(6, over=True, stopped=True) == due(12, over=True, stopped=True) == "lc", "not where it is due, either"
    never = replace(run, picture_every=0, validation=replace(every, validate_every=0))
    assert whats_due(never, 240, over=True, stopped=False) == (True, False, False, True)


def test_a_validation_is_owed_after_its_step_until_it_is_done() -> None:
    run = replace(preset("xmem"), validation=replace(preset("xmem").validation, validate_every=6))

    def owed(step: int, validated: int, over: bool = False) -> bool:
        return owes_validation(run, step, over, validated)

    assert [owed(step, -1) for step in (0, 5, 6, 7, 12)] == [False, False, True, False, True]
    assert owed(12, 6) and not owed(12, 12)
    assert owed(9, 6, over=True) and not owed(9, 9, over=True)
    assert not owes_validation(preset("xmem"), 6, True, -1), "no validation is wanted"
