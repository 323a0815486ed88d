"""The synthetic clip of the golden files: textured discs that move across a textured background."""

import numpy as np


def clip(frames: int, height: int, width: int, objects: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return normalised images float32 [T,3,H,W] and masks uint8 [T,H,W] with ids 1..objects."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)

    def texture(frequency: float) -> np.ndarray:
        a, b, c, d = random.uniform(0.05, frequency, 4)
        phase = random.uniform(0, 6.28, 6)
        waves = [
            np.sin(a * columns + b * rows + phase[i]) * np.cos(c * columns - d * rows + phase[i + 3]) for i in range(3)
        ]
        return np.stack(waves)

    background = texture(0.35)
    looks = [texture(0.9) for _ in range(objects)]
    centre = random.uniform(0.25, 0.75, (objects, 2)) * (height, width)
    speed = random.uniform(-1.5, 1.5, (objects, 2))
    radius = random.uniform(0.14, 0.24, objects) * min(height, width)
    images = np.zeros((frames, 3, height, width), np.float32)
    masks = np.zeros((frames, height, width), np.uint8)
    for t in range(frames):
        images[t] = background
        for index in range(objects):
            y, x = centre[index] + t * speed[index]
            inside = (rows - y) ** 2 + (columns - x) ** 2 < radius[index] ** 2
            masks[t][inside] = index + 1
            images[t][:, inside] = looks[index][:, inside]
    return images * 1.5, masks
