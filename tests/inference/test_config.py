"""Settings of segmenters out of their ranges."""

import pytest

from inference import InferenceConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mem_every": 0}, "mem_every=0: expected at least 1"),
        ({"top_k": -3}, "top_k=-3: expected at least 0"),
        ({"deep_update_every": 0}, r"deep_update_every=0: expected -1 .* or at least 1"),
        ({"max_mid_term_frames": 5}, "max_mid_term_frames=5: expected more than min_mid_term_frames=5"),
    ],
)
def test_settings_out_of_range(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InferenceConfig(**settings)  # type: ignore[arg-type]
