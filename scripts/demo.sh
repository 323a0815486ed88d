#!/usr/bin/env bash
# The whole project in miniature, without any data or GPU, in about six minutes after the installation: makes the sample
# data, trains a tiny XMem on six clips, segments and scores the two held-out ones, and draws what came out.
#
#   scripts/demo.sh [minutes of training; default 5]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

minutes=${1:-5}
out=output/demo
masks=$out/masks
clips=data/sample/trainval

set_up requirements.txt

echo
echo "== training for $minutes minutes"
"$PYTHON" train.py --model xmem --size tiny --stage 2 --dataset sample --max_minutes "$minutes" \
    --output "$out/training" --overwrite

echo
echo "== segmenting and scoring the held-out clips"
"$PYTHON" eval.py --dataset sample --checkpoint "$out/training/last.pth" --output "$masks" --overwrite \
    --size -1 --score --overlay

echo
echo "== drawing"
"$PYTHON" scripts/contact_sheet.py --frames "$clips/JPEGImages/480p" --truth "$clips/Annotations/480p" \
    --predictions "$masks" --output "$out/contact_sheet.png"

echo
echo "Done in $((SECONDS / 60)) min $((SECONDS % 60)) s. Look at"
printf '  %s\n' "$PWD/$out/contact_sheet.png" "$PWD/$masks"/*.mp4
echo "The masks and scores.json are in $PWD/$masks, the network is $PWD/$out/training/last.pth"
