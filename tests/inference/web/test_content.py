"""Objects: names, colours, ids that are never used twice."""

from typing import Any

import pytest

from inference.web.content import Content, Given


def test_ids_are_never_used_twice() -> None:
    content = Content()
    assert [content.new_object().id for _ in range(2)] == [1, 2]
    content.objects.remove(content.object(2))
    content.require([1, 9])
    assert content.new_object().id == 10 and [item.id for item in content.objects] == [1, 9, 10]
    with pytest.raises(ValueError, match="there is no object 2"):
        content.object(2)
    with pytest.raises(ValueError, match="The mask holds id 300: the page takes ids up to 255"):
        content.require([20, 300])
    assert [item.id for item in content.objects] == [1, 9, 10]
    content.require([255])
    with pytest.raises(ValueError, match="at most 255 objects"):
        content.new_object()


@pytest.mark.parametrize(
    "changes",
    [{"colour": "red"}, {"colour": "#12345g"}, {"name": " "}, {"name": "x" * 61}, {"visible": 1}, {"id": 3}],
)
def test_unfit_changes_change_nothing(changes: dict[str, Any]) -> None:
    item = Content().new_object()
    before = item.__dict__.copy()
    with pytest.raises(ValueError, match="object 1: .* can't be"):
        item.change({"name": "dog"} | changes)
    assert item.__dict__ == before


def test_changes_and_json() -> None:
    content = Content()
    content.new_object().change({"name": " dog ", "colour": "#00ff00", "visible": False})
    content.given[4] = Given([1], 3, True)
    assert Content.from_json(content.to_json()) == content
    assert content.objects[0].name == "dog"
