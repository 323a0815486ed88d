"""Where data sets come from: pages, licences, sizes, layouts, links and steps."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set and how to get it. No checksums are published for these archives; a zip's own are checked.

    Attributes:
        title: its name.
        page: its official page.
        licence: in words; the page has the terms.
        size: of the download, roughly.
        place: its folder below the root.
        layout: what lies in that folder.
        url: direct link to a zip archive, or None.
        required: folders that the archive must hold side by side.
        flat: all pictures and masks of the archive go side by side into `place`.
        steps: what to do by hand; `{place}` stands for the folder.
    """

    title: str
    page: str
    licence: str
    size: str
    place: str
    layout: str
    url: str | None = None
    required: tuple[str, ...] = ()
    flat: bool = False
    steps: tuple[str, ...] = ()


_ETH = "https://data.vision.ee.ethz.ch/csergi/share/davis"
_DAVIS_PAGE = "https://davischallenge.org"
_DAVIS_LAYOUT = "{JPEGImages,Annotations}/480p/VIDEO, ImageSets/%s/*.txt"
_DAVIS_FOLDERS = ("JPEGImages/480p", "Annotations/480p", "ImageSets")
_DUTS_PAGE = "http://saliencydetection.net/duts/"
_YOUTUBE_PAGE = "https://youtube-vos.org"
_YOUTUBE_LICENCE = "annotations CC BY 4.0; data for non-commercial research"
_YOUTUBE_VALID = (
    "unpack valid.zip (and test.zip) to {place}/valid (and {place}/test): JPEGImages, Annotations, meta.json",
    "unpack valid_all_frames.zip (and test's) to {place}/all_frames/valid_all_frames: JPEGImages",
)
_SMALL_STEPS = (
    "the reduced copy is part of STCN's static data: follow 'Data preparation' on https://github.com/hkchengrex/STCN, "
    "and move the folder to {place}",
    "or put the original pictures x.jpg and masks x.png side by side into a folder, and make the reduced copy: "
    "python scripts/resize_dataset.py FOLDER {place} --size 512",
)


def _duts(part: str, size: str) -> Source:
    return Source(
        title=f"DUTS, {part}",
        page=_DUTS_PAGE,
        licence="none stated: research",
        size=size,
        place=f"static/{part}",
        layout="x.jpg with x.png",
        url=f"{_DUTS_PAGE}download/{part}.zip",
        flat=True,
    )


def _davis_2017(split: str, size: str) -> Source:
    return Source(
        title=f"DAVIS 2017, {split}, 480p",
        page=f"{_DAVIS_PAGE}/davis2017/code.html",
        licence="CC BY-NC 4.0",
        size=size,
        place=f"DAVIS/2017/{split}",
        layout=_DAVIS_LAYOUT % "2017",
        url=f"{_ETH}/DAVIS-2017-{split}-480p.zip",
        required=_DAVIS_FOLDERS,
    )


def _lvos(version: str, place: str) -> Source:
    return Source(
        title=f"LVOS {version}",
        page="https://github.com/LingyiHongfd/LVOS",
        licence="annotations CC BY 4.0; data for non-commercial research",
        size="see its page",
        place=place,
        layout="{train,valid,test}/{JPEGImages,Annotations}/VIDEO with train_meta.json, valid_meta.json, ...; "
        "valid/unseen_videos.txt",
        steps=(
            f"download {version}'s Train, Eval and Test archives and meta jsons from the drives that it links to",
            "unpack them to {place}/train, {place}/valid and {place}/test, and put each meta json into its folder",
            "for scores copy unseen_videos.txt of https://github.com/LingyiHongfd/lvos-evaluation (for v1 that of its "
            "first version) to {place}/valid",
        ),
    )


SOURCES = {
    "davis2016": Source(
        title="DAVIS 2016",
        page=f"{_DAVIS_PAGE}/davis2016/code.html",
        licence="CC BY-NC 4.0",
        size="about 2 GB",
        place="DAVIS/2016",
        layout=_DAVIS_LAYOUT % "480p",
        url="https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip",
        required=_DAVIS_FOLDERS,
    ),
    "davis2017": _davis_2017("trainval", "about 0.8 GB"),
    "davis2017-test-dev": _davis_2017("test-dev", "about 0.3 GB"),
    "youtube2018": Source(
        title="YouTube-VOS 2018, validation",
        page=_YOUTUBE_PAGE,
        licence=_YOUTUBE_LICENCE,
        size="about 1 GB, with all frames several",
        place="YouTube2018",
        layout="valid/{JPEGImages,Annotations,meta.json}, all_frames/valid_all_frames/JPEGImages",
        steps=(
            "log in on the page, accept the terms, download the 2018 version's validation archives",
            *_YOUTUBE_VALID,
        ),
    ),
    "youtube2019": Source(
        title="YouTube-VOS 2019",
        page=_YOUTUBE_PAGE,
        licence=_YOUTUBE_LICENCE,
        size="about 10 GB, with all frames several times that",
        place="YouTube",
        layout="train_480p/{JPEGImages,Annotations}, {valid,test}/{JPEGImages,Annotations,meta.json}, "
        "all_frames/{valid,test}_all_frames/JPEGImages",
        steps=(
            "log in on the page, accept the terms, download the 2019 version's train, valid and test archives",
            "unpack train.zip to a folder TRAIN (it holds JPEGImages, Annotations, meta.json) and make the smaller "
            "copy: python scripts/resize_dataset.py TRAIN {place}/train_480p --size 480",
            *_YOUTUBE_VALID,
        ),
    ),
    "bl30k": Source(
        title="BL30K (rendered videos, stage 1)",
        page="https://doi.org/10.13012/B2IDB-1702934_V1",
        licence="see its page",
        size="about 700 GB",
        place="BL30K",
        layout="{JPEGImages,Annotations}/VIDEO",
        steps=(
            "download the archives that the page lists",
            "unpack all of them (tar xf) so that {place}/JPEGImages and {place}/Annotations hold a folder per video",
        ),
    ),
    "mose": Source(
        title="MOSE",
        page="https://henghuiding.github.io/MOSE/",
        licence="CC BY-NC-SA 4.0",
        size="about 25 GB",
        place="MOSE",
        layout="{train,valid}/{JPEGImages,Annotations}/VIDEO",
        steps=(
            "download the train and valid archives from one of the drives that the page links to",
            "unpack them (tar xf) to {place}/train and {place}/valid: JPEGImages, Annotations",
        ),
    ),
    "mose2": Source(
        title="MOSE v2",
        page="https://mose.video",
        licence="CC BY-NC-SA 4.0",
        size="see its page",
        place="MOSEv2",
        layout="{train,valid}/{JPEGImages,Annotations}/VIDEO, meta_{train,valid}.json",
        steps=(
            "download the train and valid archives from one of the drives that the page links to",
            "unpack them to {place}/train and {place}/valid: JPEGImages, Annotations; the meta files go to {place}",
        ),
    ),
    "lvos": _lvos("v1", "LVOS"),
    "lvos2": _lvos("v2", "LVOSv2"),
    "vost": Source(
        title="VOST",
        page="https://www.vostdataset.org",
        licence="CC BY-NC-SA 4.0",
        size="see its page",
        place="VOST",
        layout="{JPEGImages,JPEGImages_10fps,Annotations}/VIDEO, ImageSets/{train,val,test}.txt",
        steps=(
            "download the archive that the page links to (the videos of the test set are not in it)",
            "unpack it so that {place} holds JPEGImages, Annotations and ImageSets",
        ),
    ),
    "burst": Source(
        title="BURST",
        page="https://github.com/Ali2500/BURST-benchmark",
        licence="annotations MIT; frames those of TAO's and MOTChallenge's sources",
        size="see its page",
        place="BURST",
        layout="frames/{train,val,test}/DATASET/SEQUENCE, train/train.json, "
        "{val,test}/{all_classes,first_frame_annotations}.json",
        steps=(
            "download frames and annotations as the page says",
            "unpack the frames to {place}/frames/train, val and test, the annotations to {place}/train, val, test",
        ),
    ),
    "sav": Source(
        title="SA-V, validation and test",
        page="https://ai.meta.com/datasets/segment-anything-video-downloads",
        licence="CC BY 4.0",
        size="see its page",
        place="SA-V",
        layout="sav_{val,test}/{JPEGImages_24fps/VIDEO, Annotations_6fps/VIDEO/OBJECT, sav_val.txt or sav_test.txt}",
        steps=(
            "accept the terms on the page and download sav_val and sav_test",
            "unpack them (tar xf) in {place}",
        ),
    ),
    "sav-train": Source(
        title="SA-V, training films with manual masklets",
        page="https://ai.meta.com/datasets/segment-anything-video-downloads",
        licence="CC BY 4.0",
        size="see its page: 50,583 films",
        place="SA-V/sav_train",
        layout="FOLDER/VIDEO.mp4 with FOLDER/VIDEO_manual.json",
        steps=(
            "accept the terms on the page and download the sav_000 ... archives, all or some",
            "unpack them (tar xf) in {place}; frames at 24 a second in FOLDER/VIDEO/00000.jpg, if there are any, load "
            "faster than films",
        ),
    ),
    "ovis": Source(
        title="OVIS, converted to masks of ids",
        page="https://songbai.site/ovis/",
        licence="see its page",
        size="see its page",
        place="OVIS-VOS-train",
        layout="{JPEGImages,Annotations}/VIDEO",
        steps=(
            "the converted training set is linked in https://github.com/hkchengrex/Cutie/blob/main/docs/TRAINING.md; "
            "or convert the original's JSON with https://github.com/youtubevos/vis2vos",
            "unpack it so that {place} holds JPEGImages and Annotations",
        ),
    ),
    "fss": Source(
        title="FSS-1000",
        page="https://github.com/HKUSTCV/FSS-1000",
        licence="none stated: research",
        size="about 0.7 GB",
        place="static/fss",
        layout="CLASS/x.jpg with CLASS/x.png",
        steps=(
            "download the data set from the drive that the page links to",
            "unpack it so that the class folders (abacus, ...) lie in {place}",
        ),
    ),
    "duts-tr": _duts("DUTS-TR", "about 0.3 GB"),
    "duts-te": _duts("DUTS-TE", "about 0.2 GB"),
    "ecssd": Source(
        title="ECSSD",
        page="https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html",
        licence="none stated: research",
        size="about 0.1 GB",
        place="static/ecssd",
        layout="x.jpg with x.png",
        steps=(
            "download the archives of images and of ground truth masks from the page",
            "unpack both into {place}, without folders (unzip -j): 0001.jpg beside 0001.png",
        ),
    ),
    "big": Source(
        title="BIG, reduced",
        page="https://github.com/hkchengrex/CascadePSP",
        licence="see its page",
        size="below 1 GB reduced",
        place="static/BIG_small",
        layout="x.jpg with x.png",
        steps=_SMALL_STEPS,
    ),
    "hrsod": Source(
        title="HRSOD, reduced",
        page="https://github.com/yi94code/HRSOD",
        licence="see its page",
        size="below 1 GB reduced",
        place="static/HRSOD_small",
        layout="x.jpg with x.png",
        steps=_SMALL_STEPS,
    ),
    "long": Source(
        title="LongVideo",
        page="https://github.com/xmlyqing00/AFB-URR",
        licence="see its page",
        size="a few GB",
        place="long_video_set",
        layout="{long_video,long_video_x3}/{JPEGImages,Annotations}/VIDEO",
        steps=(
            "follow the link to LongVideo in https://github.com/hkchengrex/XMem/blob/main/docs/GETTING_STARTED.md, "
            "which also has the version three times as long",
            "unpack so that {place}/long_video and {place}/long_video_x3 hold JPEGImages and Annotations",
        ),
    ),
}
