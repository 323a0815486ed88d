import re
from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks.scorer import BenchmarkConfig, main
from util.files.palette import write_mask


def test_prints_milliseconds_on_generated_masks(capsys: pytest.CaptureFixture[str]) -> None:
    main(BenchmarkConfig(pairs=2, repeats=1, height=48, width=64))
    pattern = r"\d+\.\d{3} ms per pair \(median of 2 generated 64x48 masks; mean \d+\.\d+, slowest \d+\.\d+\)\n"
    assert re.fullmatch(pattern, capsys.readouterr().out)


def test_measures_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.repeat(np.arange(3, dtype=np.uint8)[:, None], 16, axis=1).repeat(8, axis=0)
    for index in range(4):
        write_mask(tmp_path / "ant" / f"{index:05d}.png", mask)
    main(BenchmarkConfig(gt=tmp_path, pred=tmp_path, repeats=1))
    main(BenchmarkConfig(gt=tmp_path, pred=tmp_path, repeats=1, single_object=True))
    two_objects, one_object = capsys.readouterr().out.splitlines()
    assert "median of 4 masks" in two_objects and "median of 2 masks" in one_object


def test_refuses_half_a_pair_of_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--gt and --pred belong together"):
        main(BenchmarkConfig(gt=tmp_path))
    with pytest.raises(ValueError, match="must be at least 1"):
        main(BenchmarkConfig(pairs=0))
