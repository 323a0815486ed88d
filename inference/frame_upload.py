"""A video's frames on their way to the device that segments them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dataset.evaluate.prepare import VideoFrame
from util.device import upload
from util.image import IMAGENET_MEAN, IMAGENET_STD


class FrameUpload:
    """Brings frames to a device as [3,h,w] float32, ImageNet-normalised.

    A GPU gets 8-bit pictures, those of all sizes in one copy from page-locked memory, and normalises them itself. For a
    CPU that would be work in the wrong thread: there a frame's image is what the reading thread made of it.
    """

    def __init__(self, device: torch.device) -> None:
        """Prepare for frames."""
        self.device = device
        self.normalises = device.type == "cuda"
        scale = [1 / (255 * std) for std in IMAGENET_STD]
        shift = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
        self._scale_311, self._shift_311 = (upload(torch.tensor(x).view(3, 1, 1), device) for x in (scale, shift))

    def images(self, frame: VideoFrame) -> Mapping[int, Tensor]:
        """Return the frame's image at each of its sizes."""
        if not self.normalises:
            return {size: sized.image for size, sized in frame.at_size.items()}
        pictures = self.pictures([sized.picture for sized in frame.at_size.values()])
        return dict(zip(frame.at_size, pictures, strict=True))

    def pictures(self, rgb_HW3: Sequence[np.ndarray]) -> list[Tensor]:
        """Upload pictures [h,w,3] uint8 together and normalise them on the device."""
        packed = np.concatenate([picture.reshape(-1) for picture in rgb_HW3])
        parts = upload(torch.from_numpy(packed), self.device).split([picture.size for picture in rgb_HW3])
        found = []
        for part, picture in zip(parts, rgb_HW3, strict=True):
            picture_3HW = part.view(picture.shape).permute(2, 0, 1)
            found.append(torch.addcmul(self._shift_311, picture_3HW.float(), self._scale_311))
        return found
