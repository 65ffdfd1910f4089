#!/usr/bin/env bash
# Outlines one object of an image file from six points (voxel indices), and saves the mask on the image's grid.
#
#   annotate.sh URL IMAGE X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z MASK
#
# IMAGE ends in .nii, .nii.gz, .nrrd or .mha, MASK in .nii, .nii.gz or .nrrd. SIXPOINT_TOKEN: a token, where the gateway
# asks for one.
set -euo pipefail
[ $# = 9 ] || { echo "usage: annotate.sh URL IMAGE POINT x 6 MASK" >&2; exit 1; }
api=${1%/}/api/v1 image=$2 mask=$9

call() { # method, path, further arguments of curl
  curl --silent --show-error --fail-with-body --request "$1" ${SIXPOINT_TOKEN:+--header "Authorization: Bearer $SIXPOINT_TOKEN"} "${@:3}" "$api$2"
}

kind() { # what a file is, by its name
  case "$1" in *.nii.gz) echo nii.gz ;; *) echo "${1##*.}" ;; esac
}

field() { # name of a text field of the JSON on stdin
  sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/"
}

points=
for point in "${@:3:6}"; do
  IFS=, read -r x y z <<<"$point"
  points+="${points:+, }{\"x\": $x, \"y\": $y, \"z\": $z}"
done

digest=$(call POST "/images?format=$(kind "$image")" --data-binary "@$image" --header "Content-Type: application/octet-stream" | field digest)
session=$(call POST /sessions --json "{\"image_digest\": \"$digest\", \"model\": \"annotation\"}" | field id)
prompts="{\"prompts\": [{\"extreme_points\": {\"frame\": \"FRAME_VOXEL\", \"points\": [$points]}}]}"
call POST "/sessions/$session/segments/1/prompts?format=$(kind "$mask")" --json "$prompts" --output "$mask"
call DELETE "/sessions/$session"
