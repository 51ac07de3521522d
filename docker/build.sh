#!/usr/bin/env bash
# docker/build.sh [OPTIONS OF docker build]: build the image icq-marl:latest.
#
#   ACCEPT_SC2_EULA=iagreetotheeula docker/build.sh
#
# With it you accept Blizzard's AI and Machine Learning License. The Dockerfile's other arguments can be
# variables, too: BASE_IMAGE, SC2_VERSION, SC2_SHA256, SMAC_MAPS_SHA256, SC2_URL, SMAC_MAPS_URL,
# TORCH (cuda or cpu), TORCH_INDEX_URL, EXTRAS; what they mean: docs/starcraft.md. COMMIT is what git says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v docker > /dev/null; then
    echo "docker/build.sh needs Docker, which is not here; docker/install_sc2.sh installs the game without it" >&2
    exit 1
fi
arguments=()
for name in ACCEPT_SC2_EULA BASE_IMAGE SC2_VERSION SC2_SHA256 SMAC_MAPS_SHA256 SC2_URL SMAC_MAPS_URL \
    TORCH TORCH_INDEX_URL EXTRAS; do
    if [ -n "${!name:-}" ]; then
        arguments+=(--build-arg "$name=${!name}")
    fi
done
commit=${COMMIT:-$(git describe --always --abbrev=40 --exclude='*' --dirty 2> /dev/null || true)}
if [ -n "$commit" ]; then
    arguments+=(--build-arg "COMMIT=$commit")
fi
export DOCKER_BUILDKIT=1
exec docker build --file docker/Dockerfile --tag icq-marl:latest "${arguments[@]}" "$@" .
