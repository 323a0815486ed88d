"""Writes a video's results while it is being segmented: masks, probabilities, a COCO file and an overlay video."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from torch import Tensor

from dataset.disk.lists import check_name
from inference.output.coco import CocoWriter
from inference.output.film import OverlayVideo
from util.files.atomic import atomic_write, set_aside
from util.files.palette import write_mask

# Frames that may wait for a writing thread: bounds the memory when writing is slower than segmenting.
_MAX_PENDING = 8
_THREADS = 2  # that compress masks and probabilities


def read_probabilities(path: str | os.PathLike[str]) -> tuple[np.ndarray, list[int]]:
    """Read a file of `ResultWriter`: probabilities [L,H,W] float16, background first, and the objects' ids in order."""
    with np.load(path) as content:
        return content["prob"], [int(value) for value in content["object_ids"]]


class ResultWriter:
    """Writes the results of one video in background threads; used in a `with` block.

    All results appear when the block ends: until then they lie under hidden names. An error in the block or in a thread
    removes them and leaves the results of an earlier run as they were; a thread's error is raised by a later `write`
    or at the block's end. Earlier results are replaced.
    """

    def __init__(
        self,
        masks: str | os.PathLike[str],
        *,
        probs: str | os.PathLike[str] | None = None,
        overlay: str | os.PathLike[str] | None = None,
        coco: str | os.PathLike[str] | None = None,
        fps: float = 24.0,
        times: Sequence[Fraction] = (),
        objects: Mapping[str, int] | None = None,
    ) -> None:
        """Choose the places.

        Args:
            masks: the folder for palette PNGs, one for each frame that is written, named after it.
            probs: the folder for probabilities: `<frame>.npz`, compressed, with `prob` [L,H,W] float16 (background
                first) and `object_ids` [L-1], the ids of the other channels; see `read_probabilities`. None: none.
            overlay: an mp4 file that shows the frames with coloured objects. None: none.
            coco: a COCO file of run lengths of all masks that are written; see `CocoWriter`. None: none.
            fps: frames per second of the overlay.
            times: when each of its frames is shown, in seconds; none: evenly.
            objects: folders for the objects below `masks`, and their ids: each gets a binary PNG for every frame in a
                folder of its own, and there is none of ids. None: there is none but that.

        Raises ValueError for a folder of masks that has no plain name.
        """
        self._masks = Path(masks)
        check_name(self._masks.name, "results of a video")
        self._probs = None if probs is None else Path(probs)
        self._overlay = None if overlay is None else Path(overlay)
        self._coco = None if coco is None else Path(coco)
        self._fps, self._times = fps, times
        self._objects = dict(objects or {})
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> "ResultWriter":
        """Make the hidden folders and start the threads; raises OSError for a place that cannot be written."""
        with ExitStack() as stack:
            self._mask_folder = stack.enter_context(_hidden_folder(self._masks))
            self._prob_folder = None if self._probs is None else stack.enter_context(_hidden_folder(self._probs))
            self._film: OverlayVideo | None = None
            if self._overlay is not None:
                self._film = OverlayVideo(stack.enter_context(atomic_write(self._overlay)), self._fps, self._times)
            self._tracks = None if self._coco is None else CocoWriter(self._masks.name)
            self._coco_file = None if self._coco is None else stack.enter_context(atomic_write(self._coco))
            # The film and the COCO file have a thread of their own, since their frames must stay in order.
            self._film_thread = ThreadPoolExecutor(1, "overlay")
            self._pool = ThreadPoolExecutor(_THREADS, "results")
            self._stack = stack.pop_all()
        return self

    def write(
        self,
        name: str,
        id_mask: np.ndarray,
        *,
        rgb: np.ndarray | None = None,
        prob: Tensor | None = None,
        object_ids: Sequence[int] = (),
        wanted: bool = True,
    ) -> None:
        """Take one frame's results; frames come in order.

        Args:
            name: the frame's name.
            id_mask: [H,W] integer ids.
            rgb: [H,W,3] uint8 frame, needed for the overlay.
            prob: [L,H,W] probabilities, background first, needed for the probabilities' file.
            object_ids: the ids of `prob`'s channels after the first.
            wanted: False for a frame that is only shown in the overlay.

        Raises ValueError for a name that leads elsewhere, and where something needed is missing.
        """
        check_name(name, f"results of {self._masks.name}, frame")
        if self._film is not None and rgb is None:
            raise ValueError("ResultWriter.write: an overlay needs the frame's `rgb`.")
        if self._prob_folder is not None and prob is None:
            raise ValueError("ResultWriter.write: the probabilities' file needs `prob`.")
        if wanted:
            self._submit(self._pool, self._write_masks, name, id_mask)
            if self._tracks is not None:
                self._submit(self._film_thread, self._tracks.add, name, id_mask)
            if self._prob_folder is not None and prob is not None:
                half = prob.detach().half().cpu().numpy()
                self._submit(self._pool, _write_probs, self._prob_folder / f"{name}.npz", half, list(object_ids))
        if self._film is not None and rgb is not None:
            self._submit(self._film_thread, self._film.add, rgb, id_mask)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the threads; then publish everything, or remove it after an error."""
        try:
            self._stop_threads(complete=error is None)
        except BaseException as failure:
            self._stack.__exit__(type(failure), failure, failure.__traceback__)
            raise
        if error is None:
            for folder in (self._masks, self._probs):
                if folder is not None:
                    set_aside(folder)
        self._stack.__exit__(kind, error, traceback)

    def _stop_threads(self, complete: bool) -> None:
        """Let the threads finish their work, or with `complete` false drop what they have not begun."""
        try:
            if complete:
                self._drain(0)
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._film_thread.shutdown(cancel_futures=True)
            if self._film is not None and not complete:
                with suppress(Exception):  # the error that led here is the one to show
                    self._film.close()
        if self._film is not None:
            self._film.close()
        if self._tracks is not None and self._coco_file is not None:
            self._tracks.write(self._coco_file)

    def _write_masks(self, name: str, id_mask: np.ndarray) -> None:
        if not self._objects:
            write_mask(self._mask_folder / f"{name}.png", id_mask)
        for folder, number in self._objects.items():
            write_mask(self._mask_folder / folder / f"{name}.png", (id_mask == number).astype(np.uint8))

    def _submit(self, pool: ThreadPoolExecutor, work: Callable[..., None], *arguments: object) -> None:
        self._drain(_MAX_PENDING - 1)
        self._pending.append(pool.submit(work, *arguments))

    def _drain(self, limit: int) -> None:
        """Wait until at most `limit` pieces of work are pending; raises their errors."""
        while len(self._pending) > limit:
            self._pending.popleft().result()


def _write_probs(path: Path, prob: np.ndarray, object_ids: list[int]) -> None:
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, prob=prob, object_ids=np.array(object_ids, dtype=np.int64))


@contextmanager
def _hidden_folder(path: Path) -> Iterator[Path]:
    with atomic_write(path) as temporary:
        temporary.mkdir()
        yield temporary
