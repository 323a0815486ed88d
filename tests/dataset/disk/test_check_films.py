"""Checks of films with masklets and of BURST's annotation files, one at a time."""

from pathlib import Path

from dataset.disk.check_files import Findings
from dataset.disk.check_films import FilmTask, check_burst, check_film
from tests.support.benchmarks import FRAMES, write_burst, write_sav_train


def test_a_film_and_its_frames(tmp_path: Path) -> None:
    for as_film in (True, False):
        root = write_sav_train(tmp_path / str(as_film), as_film=as_film)
        found = check_film(FilmTask(part="p", annotations=root / "sav_000/sav_000001_manual.json"))
        assert (found.frames, found.masks, len(found.objects), found.problems) == (24, 6, 2, ())
    quick = check_film(FilmTask(part="p", annotations=root / "sav_000/sav_000001_manual.json", quick=True))
    assert quick.problems == () and quick.frames == 0


def test_damaged_masklets_are_a_problem(tmp_path: Path) -> None:
    path = write_sav_train(tmp_path) / "sav_000/sav_000001_manual.json"
    path.write_text("{")
    (problem,) = check_film(FilmTask(part="p", annotations=path)).problems
    assert "sav_000001_manual.json is not a JSON file" in problem


def test_burst_against_findings(tmp_path: Path) -> None:
    path = write_burst(tmp_path) / "val/all_classes.json"
    names = frozenset(f"img{frame + 1:04d}" for frame in range(FRAMES))
    sound = Findings(part="val/x", objects={}, sizes={(48, 64): 9}, problems=(), frame_names=names)
    assert check_burst(path, {"LaSOT-bear-2": sound, "YFCC100M-v_f69e": sound}, quick=False) == []
    assert len(check_burst(path, {"LaSOT-bear-2": sound}, quick=True)) == 1
    path.write_text("[]")
    (problem,) = check_burst(path, {}, quick=True)
    assert "all_classes.json is not a JSON file in BURST's form" in problem
