"""What is known of the beginning of a file."""

from pathlib import Path

import pytest

from util.files.partial import Partial, discard, part_of, read_state, received, write_state

URL = "https://example.org/net.pth"


def test_a_part_and_what_is_known_of_it(tmp_path: Path) -> None:
    part = part_of(tmp_path / "net.pth")
    assert part == tmp_path / "net.pth.part" and received(part) == 0
    state = Partial(url=URL, validator='"v1"', total=10)
    write_state(part, state)
    assert read_state(part, URL) is None  # nothing has come that could be continued
    part.write_bytes(b"abc")
    assert received(part) == 3 and read_state(part, URL) == state
    assert read_state(part, URL + "?other") is None
    discard(part)
    discard(part)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "a", "more": 1}'])
def test_a_damaged_note_is_none(tmp_path: Path, text: str) -> None:
    part = tmp_path / "net.pth.part"
    part.touch()
    (tmp_path / "net.pth.part.json").write_text(text)
    assert read_state(part, URL) is None
