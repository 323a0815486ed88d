#!/usr/bin/env bash
# The whole project in miniature, without any data or GPU, in three minutes at most after the installation: segments a
# real clip and generated ones with the network in the box, scores them, trains a fresh tiny network for a fixed number
# of steps, and draws what came out. No step looks at a clock: a busy machine is slower, its masks are the same.
#
#   scripts/demo.sh [steps of training; default 60]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

steps=${1:-60}
out=output/demo
generated=data/sample/trainval

set_up requirements.txt

segment() { # DATASET SIZE FRAMES TRUTH
    "$PYTHON" eval.py --dataset "$1" --size "$2" --output "$out/$1" --overwrite --score --overlay
    "$PYTHON" scripts/contact_sheet.py --frames "$3" --truth "$4" --predictions "$out/$1" \
        --scores "$out/$1/scores.json" --columns 2 --output "$out/$1.png"
}

echo
echo "== a real clip, segmented by the network in the box and scored"
segment chair 240 dataset/sample/chair/JPEGImages dataset/sample/chair/Annotations

echo
echo "== two generated clips, likewise"
segment sample -1 "$generated/JPEGImages/480p" "$generated/Annotations/480p"

echo
echo "== training a fresh tiny network for $steps steps: its loss falls, its matching accuracy rises"
"$PYTHON" train.py --model xmem --size tiny --stage 2 --dataset sample --crop_size 128 --iterations "$steps" \
    --validate_every $(((steps + 2) / 3)) --val_dataset sample --val_size 128 --log_every 5 --picture_every 0 --device cpu \
    --output "$out/training" --overwrite
"$PYTHON" scripts/plot_run.py "$out/training" --only loss iou validation/match_foreground_5 \
    --output "$out/training.png"

echo
echo "== what the keys of the network in the box match, 20 frames apart"
"$PYTHON" scripts/visualize_matches.py --checkpoint box --dataset chair --gap 20 --size 240 --output "$out/matches.png"

echo
echo "Done in $((SECONDS / 60)) min $((SECONDS % 60)) s. Look at"
printf '  %s\n' "$PWD/$out"/*.png "$PWD/$out"/*/*.mp4
echo "The masks and scores.json are in $PWD/$out/chair and $PWD/$out/sample, the network trained here is"
echo "$PWD/$out/training/last.pth"
