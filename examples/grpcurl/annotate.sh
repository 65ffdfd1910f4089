#!/usr/bin/env bash
# Outlines one object of an image that the gateway has, such as one that `sixpoint annotate` or another example uploaded.
#
#   annotate.sh SERVER DIGEST X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z
#
# Without reflection (SIXPOINT_REFLECTION), add -import-path protos -proto sixpoint/v1/annotation_service.proto and so on.
set -euo pipefail
[ $# -ge 8 ] || { echo "usage: annotate.sh SERVER DIGEST POINT x 6" >&2; exit 1; }
server=$1 digest=$2
shift 2

call() { # method, JSON
  grpcurl -plaintext -d "$2" "$server" "sixpoint.v1.$1"
}

points=$(printf '%s\n' "$@" | jq -R 'split(",") | map(tonumber) | {x: .[0], y: .[1], z: .[2]}' | jq -s .)
session=$(call SessionService/CreateSession "{\"image_digest\": \"$digest\", \"model\": \"annotation\"}" | jq -r .session.id)
call AnnotationService/Annotate "{\"session_id\": \"$session\", \"prompts\": [{\"extreme_points\": {\"frame\": \"FRAME_VOXEL\", \"points\": $points}}]}" |
  # Through reflection fields have the contract's names; with -proto they have those of JSON.
  jq '.answer | {voxels: (.mask.voxel_count // .mask.voxelCount), box: .mask.box, model, version: (.model_version // .modelVersion)}'
call SessionService/CloseSession "{\"session_id\": \"$session\"}" >/dev/null
