"""The published augmentations, which presets share."""

from dataclasses import replace

from util.config.data import Augmentation


def augmentation(stage: str) -> Augmentation:
    """Return the published augmentation of STCN and XMem: of static pictures (0), of BL30K (1), of videos (2 and 3)."""
    if stage == "0":
        return Augmentation(
            crop_size=384,
            zoom=(0.8, 1.5),
            crop_scale=(0.36, 1.0),
            crop_ratio=4 / 3,
            flip=0.5,
            grey=0.05,
            clip_jitter=(0.1, 0.05, 0.05, 0.05),
            frame_jitter=(0.1, 0.05, 0.05, 0.0),
            degrees=20.0,
            shear=10.0,
            frame_scale=(0.9, 1.1),
            spline=1 / 3,
            spline_sigma=0.02,
            spline_points=12,
        )
    video = Augmentation(
        crop_size=384,
        crop_scale=(0.36, 1.0),
        crop_ratio=4 / 3,
        flip=0.5,
        grey=0.05,
        clip_jitter=(0.1, 0.03, 0.03, 0.0),
        frame_jitter=(0.01, 0.01, 0.01, 0.0),
        degrees=15.0,
        shear=10.0,
    )
    return replace(video, crop_scale=(0.25, 1.0), degrees=0.0, shear=0.0) if stage == "1" else video


def twoframe_augmentation(static: bool) -> Augmentation:
    """Return the published augmentation of BMVOS and EMVOS: geometry and pasting, no change of colour.

    "Flips" are read as both, left to right and top to bottom; "crop scale .8-1.25" as the scale of a 384x384 window:
    for static pictures on a shorter side of 384, for videos on 480 (.8 shows its whole height), where the window's
    share of the frame's area is drawn uniformly. The affine of single frames is that of static pictures.
    """
    both = Augmentation(crop_size=384, flip=0.5, vertical_flip=0.5, paste=0.2)
    if static:
        return replace(both, zoom=(0.8, 1.25), degrees=10.0, shear=10.0, frame_scale=(0.9, 1.1))
    # 854x480 frames: (384 / 1.25)^2 and (384 / .8)^2 of 409,920 pixels.
    return replace(both, crop_scale=(0.23, 0.562), crop_ratio=1.0)
