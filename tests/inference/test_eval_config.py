"""What a command line of eval.py means."""

from dataclasses import fields

import pytest

from inference import InferenceConfig
from inference.eval_config import EvalConfig, parse
from tests.support.runs import error_of
from util.cli import flag_names
from util.config.plain import plain


def settings(*words: str) -> InferenceConfig:
    return InferenceConfig(**plain(parse(words, "eval.py", "").inference))


def test_every_setting_is_a_flag_with_its_own_default_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert {f"--{field.name}" for field in fields(InferenceConfig)} <= {*flag_names(EvalConfig)}
    assert settings() == InferenceConfig()
    with pytest.raises(SystemExit):
        settings("--dataset", "lv3", "--help")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "a frame enters the memory every so many frames. (default: 10)" in shown
    assert "XMem: capacity of long-term memory. (default: 10000)" in shown


@pytest.mark.parametrize(
    ("words", "mem_every"),
    [
        (["--dataset", "d17"], 5),
        (["--dataset", "d17", "--split", "test-dev"], 3),
        (["--split=testdev", "--dataset=D17"], 3),
        (["--dataset", "lv1"], 5),
        (["--dataset", "lv3"], 10),
        (["--dataset", "lv3", "--mem_every", "5"], 5),
        (["--video", "clip.mp4"], 5),
        (["--dataset", "unheard-of"], 5),
    ],
)
def test_the_benchmark_sets_the_memory_interval_unless_a_flag_does(words: list[str], mem_every: int) -> None:
    assert settings(*words) == InferenceConfig(mem_every=mem_every)


def test_flags_that_are_given_count() -> None:
    words = "--top_k 0 --no_enable_long_term --precision bf16 --object_chunk 2 --max_memory_frames 9".split()
    expected = InferenceConfig(
        top_k=0, enable_long_term=False, precision="bf16", object_chunk=2, max_memory_frames=9, mem_every=10
    )
    assert settings("--dataset", "lv3", *words) == expected


def test_a_value_out_of_range_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(lambda: settings("--mem_every", "0"), capsys)
    assert message == "error: mem_every=0: expected at least 1; eval.py --help lists the flags"


def test_the_help_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(
            ["--checkpoint", "XMem.pth", "--help"],
            "eval.py",
            "Segments.\n\npython eval.py --a\n\npython eval.py --b\npython eval.py --c",
        )
    shown = capsys.readouterr().out
    assert "    python eval.py --a\n    python eval.py --b\n    python eval.py --c\n" in shown
    assert "--dataset {d16,d17,y18,y19,lv1,lv3,g,sample," in shown and "--root PATH" in shown
    assert "--model {xmem,stcn,stcn-corr,bmvos,emvos}" in shown
    for nonsense in ("{None}", "(default: )", "(default: None)"):
        assert nonsense not in shown
    assert "(default: 480)" in shown and "(default: softmax)" in shown
