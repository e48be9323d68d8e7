#!/bin/sh
# Prints every image that compose and the Dockerfile start from with its digest in the registry, as
# lines for .env. A tag may be moved to other content; a digest names this one. Needs docker buildx.
#   deploy/steps/pin-images.sh >> .env
set -eu
cd "$(dirname "$0")/../.."
named=$(
    sed -n 's/^ *image: \${\([A-Z]*_IMAGE\):-\([^}]*\)}.*/\1 \2/p' docker-compose.yml
    sed -n 's/^ARG \([A-Z]*_IMAGE\)=\(.*\)/\1 \2/p' Dockerfile
)
pinned=$(
    echo "$named" | while read -r name image; do
        digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
        case $digest in sha256:*) echo "$name=$image@$digest" ;; *) exit 1 ;; esac
    done
)
echo "$pinned" # all of them or none
