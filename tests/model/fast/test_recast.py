"""A module in another class has the same parameters; children given to the one are none of the other's."""

from torch import nn

from model.fast.recast import recast, replace_where


class _Named(nn.Sequential):
    pass


def test_recast() -> None:
    plain = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    new = recast(plain, _Named)
    assert type(new) is _Named
    assert [id(x) for x in new.state_dict(keep_vars=True).values()] == [
        id(x) for x in plain.state_dict(keep_vars=True).values()
    ]
    new[0] = nn.Identity()
    assert isinstance(plain[0], nn.Linear)


def test_replace_where() -> None:
    inner = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.Tanh()))
    replace_where(inner, lambda module: isinstance(module, nn.ReLU), lambda _: nn.Sequential(nn.ReLU()))
    assert [type(x).__name__ for x in inner.modules()] == [
        "Sequential", "Sequential", "ReLU", "Sequential", "Sequential", "ReLU", "Tanh",
    ]  # fmt: skip


def test_replace_where_spares_what_it_is_told_to() -> None:
    outer = nn.Sequential(_Named(nn.ReLU()), nn.ReLU())
    replace_where(outer, lambda module: isinstance(module, nn.ReLU), lambda _: nn.Tanh(), (_Named,))
    assert [type(x).__name__ for x in outer.modules()] == ["Sequential", "_Named", "ReLU", "Tanh"]
