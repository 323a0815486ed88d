"""The configuration of a training run: plain values in frozen groups. Those of its clips lie in `util.config.data`.

They lie together, because presets fill all of them at once, and below everything else, because presets must not depend
on the code that they configure.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from util.config.choices import Precision
from util.config.data import Augmentation, ClipConfig, DataConfig

RUNS = Path("runs")  # holds the folders of runs that name no other


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The segmentation losses; by default the cross-entropy of all pixels."""

    bootstrap_start: int = 0
    """Step until which the cross-entropy counts all pixels."""
    bootstrap_end: int = 0
    """Step from which it counts the hardest --bootstrap_share; in between the share falls linearly."""
    bootstrap_share: float = 1.0
    """1 always counts all pixels."""
    dice: float = 0.0
    """Weight of the Dice loss; 0 leaves it out."""
    dice_background: bool = False
    """The Dice loss counts the background as one more class."""
    mask_matching: float = 0.0
    """Weight of the cross-entropy of masks that the keys alone read from the first and the previous frame; 0 leaves it
    out."""


@dataclass(frozen=True, kw_only=True)
class CorrespondenceConfig:
    """The correspondence losses: L = L_seg + alpha (L_PCL + beta L_OCL) (paper Eq. 12)."""

    pcl: bool = True
    """Pixel-level correspondence loss on the matching keys."""
    ocl: bool = True
    """Object-level correspondence loss on the matching keys."""
    alpha: float = 0.2
    """Weight of both at the end of --ramp; 0 leaves them out, and their clips are drawn as if they were not there."""
    beta: float = 0.5
    """Weight of the object-level loss within it."""
    ramp: tuple[float, float] = (0.2, 0.6)
    """Shares of the run between which the weight rises from 0 to --alpha."""
    pcl_negatives: Literal["intra", "inter", "both"] = "both"
    """Anchors that a position must be told from: of its own clip, of the other clips of the batch, or both."""
    pcl_similarity: Literal["network", "l2"] = "network"
    """How anchors and positions are compared: as the network reads memory (XMem: with shrinkage and selection), or by
    distance alone."""
    pcl_anchors: int = 8
    """Rows and columns of the cells of a frame, each of which gives an anchor."""
    pcl_variant: Literal["paper", "released"] = "paper"
    """released: the loss of the paper authors' code, on a head of its own (stcn and stcn-corr)."""
    ocl_objects: Literal["manual", "auto", "both"] = "both"
    """Objects to compare: annotated ones, proposals of scripts/extract_proposals.py, or both."""
    ocl_variant: Literal["paper", "hard"] = "paper"
    """paper: its text as it stands; hard: annotated_first, both and a gap of 10 for the three flags that follow."""
    ocl_queries: Literal["paper", "annotated_first"] | None = None
    """Which three objects of a clip find their partners: any, or annotated ones first (default: --ocl_variant's)."""
    ocl_negatives: Literal["inter", "both"] | None = None
    """Objects that they must be told from: of other clips, or also of their own frames with an IoU below 0.1 (default:
    --ocl_variant's)."""
    ocl_min_gap: int | None = None
    """Frames of the video from frame t to the anchor frame, at least, as far as the clip's gaps allow (default:
    --ocl_variant's)."""
    gather_negatives: bool = True
    """Take negatives from the step's clips of all processes, not the process's own alone."""
    view_scale: tuple[float, float] = (0.5, 1.0)
    """Side of the crop's part that the view of a frame shows; drawn once per clip."""
    view_size: int = 0
    """Side of the view in pixels; 0 is half the crop's, but at least 128 where the crop has as many."""

    def __post_init__(self) -> None:
        """Raise ValueError for values out of range."""
        if self.alpha < 0 or self.beta < 0:
            raise ValueError(f"alpha {self.alpha}, beta {self.beta}: expected at least 0.")
        if not 0 <= self.ramp[0] <= self.ramp[1] <= 1:
            raise ValueError(f"ramp {self.ramp[0]} {self.ramp[1]}: expected 0 <= start <= end <= 1.")
        if not 0 < self.view_scale[0] <= self.view_scale[1] <= 1:
            raise ValueError(
                f"view_scale {self.view_scale[0]} {self.view_scale[1]}: expected 0 < smallest <= largest <= 1."
            )
        if self.pcl_anchors < 1:
            raise ValueError(f"pcl_anchors {self.pcl_anchors}: expected at least 1.")
        if self.ocl_min_gap is not None and self.ocl_min_gap < 0:
            raise ValueError(f"ocl_min_gap {self.ocl_min_gap}: expected at least 0.")
        if self.view_size < 0 or self.view_size % 16:
            raise ValueError(f"view_size {self.view_size}: expected a multiple of 16, the stride of the networks.")

    @property
    def annotated_first(self) -> bool:
        """Whether annotated objects are compared before proposals."""
        return (self.ocl_queries or {"paper": "paper", "hard": "annotated_first"}[self.ocl_variant]) != "paper"

    @property
    def own_negatives(self) -> bool:
        """Whether objects are told from others of their own frames, too."""
        return (self.ocl_negatives or {"paper": "inter", "hard": "both"}[self.ocl_variant]) == "both"

    @property
    def min_gap(self) -> int:
        """Smallest distance of the anchor frame, in frames of the video; 0 without the object-level loss."""
        gap = {"paper": 0, "hard": 10}[self.ocl_variant] if self.ocl_min_gap is None else self.ocl_min_gap
        return gap if self.ocl and self.beta > 0 else 0

    @property
    def active(self) -> bool:
        """Whether a run has any of the losses at any time."""
        return self.alpha > 0 and (self.pcl or self.ocl)

    @property
    def released(self) -> bool:
        """Whether a run has the pixel-level loss of the authors' code, and the extra key head that it acts on."""
        return self.alpha > 0 and self.pcl and self.pcl_variant == "released"

    def view_side(self, crop_size: int) -> int:
        """Return the side of the view in pixels for a crop."""
        return self.view_size or min(max(crop_size // 32 * 16, 128), crop_size)


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimiser and schedule. A preset states what has no default."""

    optimizer: Literal["adam", "adamw"]
    """adam adds the weight decay to the gradient, adamw shrinks the weights."""
    lr: float
    """Learning rate."""
    encoder_lr: float = 1.0
    """Factor on the learning rate of the encoders, but for --deep_encoder_lr."""
    deep_encoder_lr: float = 1.0
    """Factor on the learning rate of the encoders' stages beyond stride 4, but for fusions."""
    weight_decay: float
    """Weight decay."""
    lr_schedule: Literal["steps", "cosine", "linear"] = "steps"
    """steps: times 0.1 at each of --lr_drops; cosine, linear: down to 0 at the end."""
    lr_drops: tuple[float, ...] = ()
    """Shares of the run at which the learning rate drops."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises from 0."""
    clip_gradient: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    ema: float = 0.0
    """Decay of the running mean of the weights that is saved beside them; 0 keeps none."""


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """Scoring a data set while training."""

    validate_every: int = 0
    """Steps between validations; the weights with the best J&F go to best.pth. 0 never validates."""
    val_dataset: str = "d17"
    """What to validate on: d17, d16 or sample; one's own videos in DAVIS-2017's layout are d17 with --val_root."""
    val_root: Path | None = None
    """Its folder (default: its place under data/)."""
    val_split: str = "val"
    """val or train. Figures on the split that chose best.pth are not those of unseen videos: report last.pth there."""
    val_list: Path | None = None
    """A file with the names of the videos to validate on, one on each line, such as those that --davis_list lacks."""
    val_size: int = 480
    """Pixels of the shorter side at which the network works; -1 is native."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run. The preset of --model, --size and --stage gives the defaults of all other flags."""

    model: str
    """xmem, stcn, stcn-corr, bmvos or emvos."""
    size: str
    """base (published), small (the network in the box) or tiny (tests)."""
    stage: str
    """0 (static pictures), 1 (BL30K), 2 (videos, the long training), 3 (videos, the short one after 0 or 1), or a
    chain such as 03: each stage starts from the weights of the one before. Flags hold for all its stages."""
    output: Path | None = None
    """Folder of the run (default runs/MODEL-SIZE-sSTAGE); a chain has a folder in it for each stage."""
    resume: str | None = None
    """Continue a run: its folder; latest for the newest below --output or runs; auto continues the run in --output
    if there is one, else starts it."""
    checkpoint: Path | None = None
    """Weights to start from: an own or released checkpoint, or box, the small network that comes with the project."""
    pretrained: bool = True
    """Start the encoders of base networks from ImageNet weights."""
    imagenet_weights: tuple[Path, ...] = ()
    """Files with torchvision's weights: ResNet-50's and ResNet-18's, or for BMVOS and EMVOS DenseNet-121's; default:
    torchvision's cache, else a download."""
    iterations: int
    """Steps."""
    max_minutes: float = 0.0
    """Ends the run after so many minutes, the learning rate's schedule included; 0 has no limit."""
    batch_size: int
    """Clips of a step, over all processes."""
    accumulate: int = 1
    """Parts in which each process computes its clips of a step, one after the other, to save memory."""
    seed: int = 14159265
    """Of weights, data and all that is drawn."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Precision = "auto"
    """auto is fp32 on a CPU and fp16 on a GPU."""
    freeze_bn: Literal["auto", "yes", "no"] = "auto"
    """BatchNorm keeps its statistics; auto: yes unless the encoders start from random weights."""
    freeze_encoder: Literal["auto", "yes", "no", "early"] = "auto"
    """The image encoder gets no gradient; early: its layers up to stride 4 get none, which saves time, unless they
    start from random weights; auto: EMVOS's, where it starts from ImageNet weights (published)."""
    compile: bool = False
    """Compile encoders and decoder with torch.compile."""
    save_every: int = 5_000
    """Steps between checkpoints; there is always one at the end, and one on SIGTERM or SIGINT."""
    keep: int = 2
    """Newest checkpoints to keep; 0 keeps all."""
    log_every: int = 50
    """Steps between lines of the log."""
    picture_every: int = 1_000
    """Steps between pictures of a clip in TensorBoard; 0 draws none."""
    overwrite: bool = False
    """Replace the run that --output holds."""
    print_config: bool = False
    """Print the resolved run and stop."""
    data: DataConfig = field(default_factory=DataConfig)
    clip: ClipConfig
    augment: Augmentation
    loss: LossConfig
    correspondence: CorrespondenceConfig = field(default_factory=CorrespondenceConfig)
    optim: OptimConfig
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def folder(self) -> Path:
        """Return the folder of the run."""
        return self.output or default_folder(self.model, self.size, self.stage)


def default_folder(model: str, size: str, chain: str) -> Path:
    """Return where a run goes that names no --output; `chain` are its stages, such as "03"."""
    return RUNS / f"{model}-{size}-s{chain}"
