"""Draws short clips of textured, deforming objects over a moving background: sample data without a download.

Everything is a pure function of the seed. Sizes are in pixels, angles in radians, `t` counts frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

# NumPy never changes the numbers that this older generator draws for a seed; it does not promise so for the newer ones.
Random = np.random.RandomState

_TEXTURE = 256
_PATTERNS = ("stripes", "spots", "checks", "patches")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a clip shows: its seed, size, length, number of objects, and which of them (1, 2, ...) enters or leaves."""

    seed: int
    frames: int = 30
    height: int = 256
    width: int = 448
    objects: int = 3
    enters: int | None = None
    enters_at: int = 10
    leaves: int | None = None
    leaves_at: int = 16


class _Thing(NamedTuple):
    """A moving object. Its outline is a circle with waves that travel around it; its texture turns with it."""

    texture: np.ndarray
    radius: float
    waves: np.ndarray  # [W,4]: number of lobes, height, phase, speed
    centre: np.ndarray  # [2] x, y
    swing: np.ndarray  # [2,3]: width, speed, phase of the swing in x and y
    turn: np.ndarray  # [2]: angle at t = 0, speed
    squash: np.ndarray  # [2]: strength, phase of the change in aspect
    way_out: np.ndarray  # [2]: shift that takes it outside


def draw(scene: Scene) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each frame's picture [H,W,3] uint8 RGB and object ids [H,W] uint8 (1, 2, ...; higher ones are nearer)."""
    random = Random(scene.seed)
    hues = (random.rand() + np.arange(scene.objects) / scene.objects) % 1.0
    things = [_draw_thing(random, scene, hue, place) for place, hue in enumerate(hues)]
    background = _draw_background(random, scene, hues)
    camera = random.uniform(-1, 1, size=(4, 3))
    grain = (2.5 * random.standard_normal((2 * scene.height, scene.width, 1))).astype(np.float32)
    for t in range(scene.frames):
        picture = _view(background, scene, camera, t)
        ids = np.zeros((scene.height, scene.width), np.uint8)
        for index, thing in enumerate(things, start=1):
            if index != scene.enters or t >= scene.enters_at:
                _paint(picture, ids, index, thing, _position(thing, scene, index, t), t)
        light = 1.0 + 0.08 * np.sin(2 * np.pi * t / 40 + camera[0, 0] * 3)
        start = random.randint(scene.height)
        noise = grain[start : start + scene.height]
        yield np.clip(picture * np.float32(light) + noise, 0, 255).astype(np.uint8), ids


def _draw_thing(random: Random, scene: Scene, hue: float, place: int) -> _Thing:
    lobes = np.array([2.0, 3.0, 4.0, 5.0])
    waves = np.stack(
        [
            lobes,
            random.uniform(0.2, 1.0, 4) * (0.22, 0.13, 0.09, 0.06),
            random.uniform(0, 2 * np.pi, 4),
            random.uniform(-0.12, 0.12, 4),
        ],
        axis=1,
    )
    size = np.array([scene.width, scene.height])
    # Spread over the width with some chance; swings are wide enough for the paths to cross.
    centre = size * [(place + random.uniform(0.3, 0.7)) / scene.objects, random.uniform(0.35, 0.65)]
    swing = np.stack(
        [size * random.uniform(0.1, 0.24, 2), random.uniform(0.08, 0.15, 2), random.uniform(0, 2 * np.pi, 2)], axis=1
    )
    side = 1.0 if centre[0] > scene.width / 2 else -1.0
    return _Thing(
        texture=_draw_texture(random, hue, _PATTERNS[random.randint(len(_PATTERNS))]),
        radius=float(scene.height * random.uniform(0.14, 0.22)),
        waves=waves,
        centre=centre,
        swing=swing,
        turn=np.array([random.uniform(0, 2 * np.pi), random.uniform(-0.07, 0.07)]),
        squash=np.array([random.uniform(0.05, 0.25), random.uniform(0, 2 * np.pi)]),
        way_out=np.array([side * scene.width * 0.8, random.uniform(-0.2, 0.2) * scene.height]),
    )


def _position(thing: _Thing, scene: Scene, index: int, t: int) -> np.ndarray:
    """Return the centre (x, y) at frame t: a swing about a place, and the way in or out where the scene asks for it."""
    width, speed, phase = thing.swing.T
    position: np.ndarray = thing.centre + width * np.sin(speed * t + phase)
    if index == scene.enters:
        # Fast at first and already partly inside, so that the first mask shows something to go by.
        start = _at_border(position, thing, scene)
        position = position + (start - position) * max(0.0, 1 - (t - scene.enters_at) / 8) ** 2
    if index == scene.leaves and t > scene.leaves_at:
        position = position + thing.way_out * ((t - scene.leaves_at) / 10) ** 2
    return position


def _at_border(position: np.ndarray, thing: _Thing, scene: Scene) -> np.ndarray:
    return np.array([0.25 * thing.radius if thing.way_out[0] < 0 else scene.width - 0.25 * thing.radius, position[1]])


def _paint(picture: np.ndarray, ids: np.ndarray, index: int, thing: _Thing, centre: np.ndarray, t: int) -> None:
    """Draw the thing with smooth edges into the picture, and where it covers most of a pixel into the ids."""
    height, width = ids.shape
    reach = thing.radius * 1.9
    left, top = (max(0, int(value - reach)) for value in centre)
    right, bottom = min(width, int(centre[0] + reach) + 1), min(height, int(centre[1] + reach) + 1)
    if left >= right or top >= bottom:
        return
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    x, y = x - np.float32(centre[0]), y - np.float32(centre[1])
    angle = thing.turn[0] + thing.turn[1] * t
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    aspect = np.float32(np.exp(thing.squash[0] * np.sin(0.11 * t + thing.squash[1])))
    u, v = (cosine * x + sine * y) / aspect, (cosine * y - sine * x) * aspect
    distance, direction = np.hypot(u, v), np.arctan2(v, u)
    outline = np.full_like(distance, thing.radius)
    for lobes, height_of_wave, phase, speed in thing.waves.tolist():
        outline += thing.radius * height_of_wave * np.cos(lobes * direction + (phase + speed * t))
    cover = np.clip(0.5 + outline - distance, 0, 1)[..., None]
    scale = 0.45 * _TEXTURE / (thing.radius * 1.5)
    colours = cv2.remap(
        thing.texture,
        u * scale + _TEXTURE / 2,
        v * scale + _TEXTURE / 2,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    shade = 1.06 - 0.15 * y / thing.radius - 0.22 * (distance / outline) ** 2
    window = picture[top:bottom, left:right]
    window += cover * (colours * shade[..., None] - window)
    ids[top:bottom, left:right][cover[..., 0] > 0.5] = index


def _draw_background(random: Random, scene: Scene, hues: np.ndarray) -> np.ndarray:
    """Return a picture [1.5H,1.5W,3] float32 to look around in, with still things that have the objects' colours."""
    height, width = scene.height * 3 // 2, scene.width * 3 // 2
    colours = np.stack([_colour(random.rand(), random.uniform(0.1, 0.45), random.uniform(0.3, 0.75)) for _ in range(3)])
    picture = _blend(_noise(random, height, width, 5), colours[0], colours[1])
    picture += (colours[2] - picture) * np.clip(3 * _noise(random, height, width, 9) - 1.6, 0, 1)[..., None]
    for _ in range(10):
        _draw_still(random, picture, hues)
    detail = _noise(random, height, width, 40) - 0.5 + 0.6 * (_noise(random, height, width, 120) - 0.5)
    return np.clip(picture + 70 * detail[..., None], 0, 255).astype(np.float32)


def _draw_still(random: Random, picture: np.ndarray, hues: np.ndarray) -> None:
    """Draw an ellipse or a box of one colour, half of the time close to that of an object."""
    height, width = picture.shape[:2]
    hue = hues[random.randint(len(hues))] if random.rand() < 0.5 else random.rand()
    colour = _colour(hue + random.uniform(-0.04, 0.04), random.uniform(0.25, 0.6), random.uniform(0.3, 0.8))
    place = (random.rand() * width, random.rand() * height)
    box = (place, tuple(2 * random.uniform(0.04, 0.12, 2) * width), random.uniform(0, 180))
    if random.rand() < 0.5:
        cv2.ellipse(picture, box, colour.tolist(), thickness=cv2.FILLED)
    else:
        cv2.fillPoly(picture, [cv2.boxPoints(box).astype(np.int32)], colour.tolist())


def _view(background: np.ndarray, scene: Scene, camera: np.ndarray, t: int) -> np.ndarray:
    """Return the part [H,W,3] of the background that a panning, turning and zooming camera sees at frame t."""
    pan_x, pan_y, turn, zoom = (
        strength
        * (0.4 * phase + np.sin((0.06 + 0.03 * speed) * t + 3 * phase) + 0.3 * np.sin(0.5 * t + 9 * speed) * shake)
        for strength, (phase, speed, shake) in zip(
            (0.13 * scene.width, 0.13 * scene.height, 0.06, 0.08), camera, strict=True
        )
    )
    matrix = cv2.getRotationMatrix2D(
        (0.75 * scene.width + pan_x, 0.75 * scene.height + pan_y), np.degrees(turn), 1 + zoom
    )
    matrix[:, 2] += (-scene.width / 4 - pan_x, -scene.height / 4 - pan_y)
    return cv2.warpAffine(background, matrix, (scene.width, scene.height), borderMode=cv2.BORDER_REFLECT)


def _draw_texture(random: Random, hue: float, pattern: str) -> np.ndarray:
    """Return a square texture [S,S,3] float32 in two tones, one of the hue itself."""
    size = _TEXTURE
    main = _colour(hue, random.uniform(0.65, 0.95), random.uniform(0.65, 0.95))
    second = _colour(hue + random.uniform(-0.12, 0.12), random.uniform(0.2, 0.7), random.uniform(0.25, 1.0))
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    bend = 0.35 * (_noise(random, size, size, 4) - 0.5)
    count = random.uniform(5, 9)
    if pattern == "stripes":
        share = np.sin(2 * np.pi * count * (x + bend))
    elif pattern == "spots":
        share = np.sin(2 * np.pi * count * (x + bend)) * np.sin(2 * np.pi * count * (y - bend)) - 0.2
    elif pattern == "checks":
        share = np.sign(np.sin(2 * np.pi * count * x)) * np.sign(np.sin(2 * np.pi * count * y))
    else:
        share = _noise(random, size, size, 9) - 0.5
    texture = _blend(np.clip(0.5 + 3 * share, 0, 1), main, second)
    return (texture + 60 * (_noise(random, size, size, 24) - 0.5)[..., None]).astype(np.float32)


def _noise(random: Random, height: int, width: int, cells: int) -> np.ndarray:
    """Return smooth noise [H,W] float32, about 0..1, with `cells` cells over the height."""
    grid = random.rand(cells, max(2, round(cells * width / height))).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def _blend(share_HW: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = first + share_HW[..., None] * (second - first)
    return mixed.astype(np.float32)


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return RGB 0..255 float32; hue counts in turns, the others 0..1."""
    wheel = np.clip(np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    colour: np.ndarray = 255 * value * (1 - saturation + saturation * wheel)
    return colour.astype(np.float32)
