"""Pictures of matches: lines from cells of a query frame to their best matches in a reference frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dataset.clip import ClipBatch
from dataset.evaluate.prepare import prepare_mask
from inference.matches.accuracy import Accuracy, MatchKeys, accuracy, best_matches, cell_labels, count_matches
from model.network import STRIDE
from util.image import padding_to_multiple

# Told apart with any kind of colour vision, and by their form besides: wrong lines are dashed.
RIGHT, WRONG = (92, 200, 255), (255, 128, 32)
_SCALE = 2  # drawn larger and reduced: smooth lines
_MARGIN, _GAP, _TITLE, _LEGEND = 20, 10, 52, 40  # pixels around everything, between frames, above and below them
_DASH, _SPACE = 9, 6  # pixels of a dashed line
_INK, _GREY, _CASING = (33, 37, 41), (108, 117, 125), (16, 18, 22)


@dataclass(frozen=True, kw_only=True)
class FramePair:
    """A reference and a query frame of one size.

    Attributes:
        reference_rgb_HW3: uint8.
        query_rgb_HW3: uint8.
        reference_ids_HW: object ids, 0 is background.
        query_ids_HW: likewise.
        captions: what to write above the reference and above the query.
    """

    reference_rgb_HW3: np.ndarray
    query_rgb_HW3: np.ndarray
    reference_ids_HW: np.ndarray
    query_ids_HW: np.ndarray
    captions: tuple[str, str] = ("reference", "query")

    def __post_init__(self) -> None:
        """Raise ValueError for pictures or masks of several sizes."""
        parts = (self.reference_rgb_HW3, self.query_rgb_HW3, self.reference_ids_HW, self.query_ids_HW)
        if len({part.shape[:2] for part in parts}) > 1:
            raise ValueError(
                f"a pair of frames and their masks must have one size, received {[part.shape[:2] for part in parts]}."
            )


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A match: x and y of its ends in the picture, and whether it is right."""

    reference: tuple[float, float]
    query: tuple[float, float]
    right: bool


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """The cells of a pair: their labels [Y,X] in both frames, and the network's frame size in pixels."""

    reference_YX: Tensor
    query_YX: Tensor
    size: tuple[int, int]

    def centre(self, cell: int, width: float) -> tuple[float, float]:
        """Return x and y of a cell's centre in a frame drawn `width` wide."""
        padding = padding_to_multiple(*self.size, STRIDE)
        row, column = divmod(cell, self.query_YX.shape[1])
        # Cells at the border can have their centre in the padding.
        x = min(max((column + 0.5) * STRIDE - padding.left, 1), self.size[1] - 1)
        y = min(max((row + 0.5) * STRIDE - padding.top, 1), self.size[0] - 1)
        return x * width / self.size[1], y * width / self.size[1]


def match_picture(
    pair: FramePair, rows: Mapping[str, MatchKeys], *, size: int = -1, matches: int = 24, width: int = 480
) -> np.ndarray:
    """Draw a row for each network: both frames, and lines from object cells of the query to their best matches.

    The lines of all rows start at the same cells, spread over the objects that both frames show. Objects stand out
    from a paler background. A row's title has the accuracy of all cells of the pair.

    Args:
        pair: the frames.
        rows: by the network's name, the keys of the two frames, the reference first.
        size: pixels of the shorter side at which the keys were made; -1 is the frames' own size.
        matches: lines of a row at most.
        width: of a frame in pixels.

    Returns:
        The picture [H,W,3] uint8.

    Raises:
        ValueError: when keys are not of such frames, or numbers are out of range.
    """
    if matches < 1 or width < 64 or not rows:
        raise ValueError(
            f"a picture of {len(rows)} networks with {matches} matches and frames {width} pixels wide: expected at "
            "least 1 network, 1 match and 64 pixels."
        )
    grid = _cells_of(pair, size)
    objects_YX = torch.isin(grid.query_YX, grid.reference_YX) & (grid.query_YX > 0)
    cells = spread_cells(objects_YX, matches)
    parts = [_draw_row(pair, grid, name, keys, cells, width * _SCALE) for name, keys in rows.items()]
    parts.append(_draw_legend(parts[0].shape[1], f"{len(cells)} of {int(objects_YX.sum())} object cells shown"))
    picture = np.pad(np.concatenate(parts), ((0, 0), (_MARGIN * _SCALE,) * 2, (0, 0)), constant_values=255)
    return cv2.resize(picture, None, fx=1 / _SCALE, fy=1 / _SCALE, interpolation=cv2.INTER_AREA)


@torch.no_grad()
def clip_match_picture(
    batch: ClipBatch, key_BTKYX: Tensor, *, clip: int = 0, reference: int = 0, query: int = -1, matches: int = 24
) -> np.ndarray:
    """Draw the matches between two frames of a clip in training, by the distance of the keys alone.

    Args:
        batch: the clips.
        key_BTKYX: the matching keys of all their frames.
        clip: which of them.
        reference: which of its frames is the reference.
        query: which is the query.
        matches: lines at most.

    Returns the picture [H,W,3] uint8; raises ValueError when the keys are not those of the batch.
    """
    if key_BTKYX.shape[:2] != batch.labels_BTHW.shape[:2]:
        raise ValueError(
            f"keys {list(key_BTKYX.shape)} do not belong to a batch with labels {list(batch.labels_BTHW.shape)}: "
            "expected as many clips and frames."
        )
    shown, count = [reference, query], batch.labels_BTHW.shape[1]
    pictures = [batch.images_BT3HW[clip, t].permute(1, 2, 0).cpu().numpy() for t in shown]
    masks = [batch.labels_BTHW[clip, t].cpu().numpy() for t in shown]
    pair = FramePair(
        reference_rgb_HW3=pictures[0],
        query_rgb_HW3=pictures[1],
        reference_ids_HW=masks[0],
        query_ids_HW=masks[1],
        captions=(f"reference: frame {reference % count + 1}", f"query: frame {query % count + 1} of {count}"),
    )
    keys = MatchKeys(key_BTKYX[clip, shown].float().cpu())
    video = batch.names[clip].partition(" ")[0]
    return match_picture(pair, {video: keys}, matches=matches, width=320)


def spread_cells(wanted_YX: Tensor, count: int) -> list[int]:
    """Return at most `count` of the cells that are True (y·X + x), ascending, as far apart as can be.

    The first is the topmost; each further one is the farthest from those that were chosen before.
    """
    cells = wanted_YX.nonzero().double()
    if not len(cells):
        return []
    chosen = [0]
    distance = (cells - cells[0]).square().sum(dim=1)
    while len(chosen) < min(count, len(cells)):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (cells - cells[chosen[-1]]).square().sum(dim=1))
    return sorted(int(cells[i, 0]) * wanted_YX.shape[1] + int(cells[i, 1]) for i in chosen)


def _cells_of(pair: FramePair, size: int) -> _Grid:
    masks = [prepare_mask(ids, size) for ids in (pair.reference_ids_HW, pair.query_ids_HW)]
    reference, query = cell_labels(torch.stack(masks))
    return _Grid(reference_YX=reference, query_YX=query, size=(masks[0].shape[0], masks[0].shape[1]))


def _find(grid: _Grid, name: str, keys: MatchKeys) -> tuple[np.ndarray, Accuracy]:
    """Return the best reference cell [P] of every query cell, and the share of them that is right."""
    rows, columns = grid.query_YX.shape
    if (keys.key_FKYX.shape[0], *keys.key_FKYX.shape[2:]) != (2, rows, columns):
        raise ValueError(
            f"{name}: keys {list(keys.key_FKYX.shape)} are not those of two frames of {grid.size[0]}x{grid.size[1]} "
            f"pixels (height x width): expected [2,K,{rows},{columns}]."
        )
    best = best_matches(keys.take([0]), keys.take([1])).cpu()
    return best[0].numpy(), accuracy([count_matches(best, grid.reference_YX[None], grid.query_YX[None])])


def _draw_row(pair: FramePair, grid: _Grid, name: str, keys: MatchKeys, cells: list[int], width: int) -> np.ndarray:
    """Return the two frames `width` wide under a title, with the matches of the cells."""
    best, share = _find(grid, name, keys)
    reference = _draw_frame(pair.reference_rgb_HW3, pair.reference_ids_HW, width)
    query = _draw_frame(pair.query_rgb_HW3, pair.query_ids_HW, width)
    top, across = _TITLE * _SCALE, width + _GAP * _SCALE
    row = np.full((top + len(query) + _GAP * _SCALE, across + width, 3), 255, np.uint8)
    row[top : top + len(query)] = _CASING
    row[top : top + len(query), :width] = reference
    row[top : top + len(query), across:] = query

    canvas = Image.fromarray(row)
    draw = ImageDraw.Draw(canvas)
    _write(draw, (0, top - 28 * _SCALE), name, 17, _INK)
    _write(draw, (across + width, top - 28 * _SCALE), _describe(share), 14, _INK, anchor="rs")
    for x, caption in zip((0, across), pair.captions, strict=True):
        _write(draw, (x, top - 7 * _SCALE), caption, 12, _GREY)
    labels, wanted = grid.reference_YX.flatten(), grid.query_YX.flatten()
    lines = []
    for cell in cells:
        (x0, y0), (x1, y1) = grid.centre(int(best[cell]), width), grid.centre(cell, width)
        right = bool(labels[best[cell]] == wanted[cell])
        lines.append(_Line(reference=(x0, top + y0), query=(across + x1, top + y1), right=right))
    _draw_lines(draw, lines)
    return np.array(canvas)


def _draw_frame(rgb_HW3: np.ndarray, ids_HW: np.ndarray, width: int) -> np.ndarray:
    """Return the frame `width` wide; around its objects, which have a white outline, it is grey and dark."""
    height = round(rgb_HW3.shape[0] * width / rgb_HW3.shape[1])
    smooth = cv2.INTER_AREA if width < rgb_HW3.shape[1] else cv2.INTER_CUBIC
    rgb = cv2.resize(rgb_HW3, (width, height), interpolation=smooth)
    ids = cv2.resize(ids_HW.astype(np.uint16), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    surroundings = 0.6 * (0.4 * rgb + 0.6 * grey)
    drawn = np.where((ids > 0)[..., None], rgb, surroundings).astype(np.uint8)
    thick = np.ones((2 * _SCALE - 1,) * 2, np.uint8)
    drawn[cv2.dilate(ids, thick) != cv2.erode(ids, thick)] = 255
    return drawn


def _draw_lines(draw: ImageDraw.ImageDraw, lines: Sequence[_Line]) -> None:
    """Draw lines, wrong ones on top and all ends above all lines.

    A right one is solid with two discs, a wrong one dashed with a disc at the query and a cross at the reference.
    """
    ordered = sorted(lines, key=lambda line: not line.right)
    for line in ordered:
        _draw_stroke(draw, line)
    for line in ordered:
        colour = RIGHT if line.right else WRONG
        _draw_disc(draw, line.query, colour)
        if line.right:
            _draw_disc(draw, line.reference, colour)
        else:
            _draw_cross(draw, line.reference, colour)


def _draw_stroke(draw: ImageDraw.ImageDraw, line: _Line) -> None:
    start, end = np.array(line.query), np.array(line.reference)
    length = max(float(np.hypot(*(end - start))), 1.0)
    dash, space = (length, 1.0) if line.right else (_DASH * _SCALE, _SPACE * _SCALE)
    for fill, thickness in ((_CASING, 3.4), (RIGHT if line.right else WRONG, 1.7)):
        for place in np.arange(0, length, dash + space):
            ends = [start + (end - start) * min(at, length) / length for at in (place, place + dash)]
            draw.line([(float(x), float(y)) for x, y in ends], fill=fill, width=round(thickness * _SCALE))


def _draw_cross(draw: ImageDraw.ImageDraw, at: tuple[float, float], colour: tuple[int, int, int]) -> None:
    x, y = at
    for fill, thickness, arm in ((_CASING, 5.2, 5.0 * _SCALE), (colour, 2.6, 4.2 * _SCALE)):
        for slope in (-1, 1):
            ends = [(x - arm, y - slope * arm), (x + arm, y + slope * arm)]
            draw.line(ends, fill=fill, width=round(thickness * _SCALE))


def _draw_disc(draw: ImageDraw.ImageDraw, at: tuple[float, float], colour: tuple[int, int, int]) -> None:
    for fill, radius in ((_CASING, 4.6 * _SCALE), (colour, 3.5 * _SCALE)):
        draw.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], fill=fill)


def _draw_legend(width: int, note: str) -> np.ndarray:
    """Return the explanation of the lines, `width` wide, with a note on the right."""
    canvas = Image.new("RGB", (width, _LEGEND * _SCALE), "white")
    draw = ImageDraw.Draw(canvas)
    x, y = 6 * _SCALE, 14 * _SCALE
    for right, text in ((True, "best match on the same object"), (False, "best match elsewhere")):
        _draw_lines(draw, [_Line(reference=(x, y), query=(x + 44 * _SCALE, y), right=right)])
        _write(draw, (x + 56 * _SCALE, y), text, 13, _INK, anchor="lm")
        x += (56 + 24) * _SCALE + round(draw.textlength(text, font=_font(13)))
    if x + draw.textlength(note, font=_font(12)) < width:
        _write(draw, (width, y), note, 12, _GREY, anchor="rm")
    return np.array(canvas)


def _describe(share: Accuracy) -> str:
    shares = {"objects": share.foreground, "background": share.background}
    said = [f"{what} {100 * value:.0f} %" for what, value in shares.items() if value is not None]
    return f"right on {', '.join(said)}" if said else "nothing to match"


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    anchor: str = "ls",
) -> None:
    draw.text(at, text, fill=colour, font=_font(size), anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)
