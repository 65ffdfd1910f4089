#!/usr/bin/env bash
# Outlines one object of an image file from six points (voxel indices), and saves the mask on the image's grid.
#
#   annotate.sh URL IMAGE X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z MASK
#
# IMAGE ends in .nii, .nii.gz, .nrrd or .mha, MASK in .nii, .nii.gz or .nrrd. SIXPOINT_TOKEN: a token, where the gateway
# asks for one.
set -euo pipefail
fail() { # message
  echo "error: $1" >&2
  exit 1
}

[ $# = 9 ] || { echo "usage: annotate.sh URL IMAGE POINT x 6 MASK" >&2; exit 1; }
api=${1%/}/api/v1 image=$2 mask=$9
[ -r "$image" ] || fail "no file $image can be read"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

call() { # method, path, further arguments of curl; leaves the body in the file $answer
  : >"$answer"
  if ! curl --silent --show-error --fail-with-body --request "$1" ${SIXPOINT_TOKEN:+--header "Authorization: Bearer $SIXPOINT_TOKEN"} --output "$answer" "${@:3}" "$api$2"; then
    [ -s "$answer" ] || fail "no answer from $api"
    fail "$(field detail)"
  fi
}

post() { # path, JSON
  call POST "$1" --header "Content-Type: application/json" --data "$2"
}

kind() { # what a file is, by its name
  case "$1" in *.nii.gz) echo nii.gz ;; *) echo "${1##*.}" ;; esac
}

field() { # name of a text field of the JSON in the file $answer
  sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/" "$answer"
}

points=
for point in "${@:3:6}"; do
  [[ $point =~ ^[0-9.-]+,[0-9.-]+,[0-9.-]+$ ]] || fail "expected points as X,Y,Z, got $point"
  IFS=, read -r x y z <<<"$point"
  points+="${points:+, }{\"x\": $x, \"y\": $y, \"z\": $z}"
done

call POST "/images?format=$(kind "$image")" --data-binary "@$image" --header "Content-Type: application/octet-stream"
post /sessions "{\"image_digest\": \"$(field digest)\", \"model\": \"annotation\"}"
session=$(field id)
prompts="{\"prompts\": [{\"extreme_points\": {\"frame\": \"FRAME_VOXEL\", \"points\": [$points]}}]}"
post "/sessions/$session/segments/1/prompts?format=$(kind "$mask")" "$prompts"
cp "$answer" "$mask"
call DELETE "/sessions/$session"
