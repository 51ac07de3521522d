#!/usr/bin/env bash
# docker/install_sc2.sh [--accept-eula]: StarCraft II for Linux and SMAC's maps into $SC2PATH.
#
# What is there already stays and is not downloaded again. A download that was cut off goes on where
# it stopped when the script is started again. The last line printed is the export line.
#
#   SC2PATH            where to (3rdparty/StarCraftII in the project)
#   ACCEPT_SC2_EULA    iagreetotheeula: the same as --accept-eula, you accept Blizzard's licence
#   SC2_VERSION        4.10; others as in the names of Blizzard's packages: 4.6.2.69232, 4.9.3, ...
#   SC2_SHA256         checksum of the game's archive; empty: it is printed, not checked
#   SMAC_MAPS_SHA256   the same for the maps
#   SC2_URL, SMAC_MAPS_URL   other places to take the archives from, file:///... too
#   SC2_DOWNLOADS      where archives lie until they are unpacked (beside $SC2PATH)
#   SC2_KEEP_ARCHIVES  1: they stay there
#   SC2_RETRY_SECONDS  5: the wait before the second try; the third waits twice as long, ...
#
# Exit codes: 0 done; 1 it failed (download, checksum, archive, no room); 2 refused (an option, the licence).
set -euo pipefail

word=iagreetotheeula
licence="Blizzard's AI and Machine Learning License (https://blzdistsc2-a.akamaihd.net/AI_AND_MACHINE_LEARNING_LICENSE.html)"
tries=5

fail() {
    echo "install_sc2.sh: $1" >&2
    exit "${2:-1}"
}

# download URL FILE: into FILE.part first, so that a FILE is always whole.
download() {
    local url=$1 file=$2 part=$2.part try code status
    if [ -f "$file" ]; then
        echo "$file is here already."
        return
    fi
    check_room_for_download "$url" "$part"
    echo "Downloading $url"
    for ((try = 1; try <= tries; try++)); do
        code=0
        status=$(curl --fail --location --silent --show-error --connect-timeout 30 --speed-limit 1 --speed-time 60 \
            --continue-at - --write-out '%{http_code}' --output "$part" "$url") || code=$?
        case "$code:$status" in
            0:* | 22:416) # 416: nothing is missing; whether it is right, the checksum or unzip tells
                mv "$part" "$file"
                return
                ;;
            22:4* | 1:* | 3:* | 37:*) fail "$url cannot be downloaded (curl's exit code $code, HTTP $status)" ;;
            23:*) fail "cannot write $part; is the disk full? What came is kept, start again to go on" ;;
            33:*) rm -f "$part" ;; # this server sends whole files only
        esac
        if ((try < tries)); then
            sleep "$((try * ${SC2_RETRY_SECONDS:-5}))"
        fi
    done
    fail "$url: $tries tries failed (curl's exit code $code); what came is kept in $part, start again to go on"
}

# check_room_for_download URL PART: if the server says how long the file is.
check_room_for_download() {
    local size have
    size=$(curl --fail --location --silent --head --connect-timeout 30 "$1" | tr -d '\r' |
        awk 'tolower($1) == "content-length:" { size = $2 } END { print size + 0 }') || true
    have=$(stat -c %s "$2" 2> /dev/null || echo 0)
    check_room "$((${size:-0} - have))" "$downloads" "downloading $1"
}

# check_room BYTES FOLDER PURPOSE
check_room() {
    local free
    free=$(df -Pk "$2" | awk 'END { printf "%.0f", $4 * 1024 }')
    if (($1 > free)); then
        fail "no room in $2: $3 needs $(gigabytes "$1"), $(gigabytes "$free") are free"
    fi
}

gigabytes() {
    awk -v bytes="$1" 'BEGIN { printf "%.2f GB", bytes / 1e9 }'
}

# verify FILE WANTED NAME: sets `sum`; NAME is the variable that WANTED is from.
verify() {
    sum=$(sha256sum "$1" | cut -d ' ' -f 1)
    if [ -z "$2" ]; then
        echo "NOT CHECKED: the sha256 of ${1##*/} is $sum. $3=$sum holds later downloads to it."
    elif [ "$sum" != "${2,,}" ]; then
        fail "$1 has the sha256 $sum, not $3=$2; is $3 for this archive? If so, delete the file and start again"
    fi
}

# unpack ARCHIVE FOLDER [UNZIP'S OPTIONS]: FOLDER is new, and removed when the script ends.
unpack() {
    local archive=$1 folder=$2 size
    size=$(unzip -Zt "$archive" 2> /dev/null | awk '{ size = $3 } END { print size + 0 }') ||
        fail "$archive is no zip archive; delete it and start again"
    rm -rf "$folder"
    unpacking=$folder
    check_room "$size" "$(dirname "$folder")" "unpacking ${archive##*/}"
    echo "Unpacking ${archive##*/} ($(gigabytes "$size"))"
    unzip -q "${@:3}" -d "$folder" "$archive" < /dev/null > "$folder.log" 2>&1 ||
        fail "$archive cannot be unpacked ($(head -n 1 "$folder.log")); if it is broken, delete it and start again"
}

# record SUM NAME FOLDER: in sha256sum's format, for a later look.
record() {
    echo "$1  $2" >> "$3/SHA256SUMS"
}

finish() {
    if [ -n "$unpacking" ]; then
        rm -rf "$unpacking" "$unpacking.log"
    fi
}

install_game() {
    local archive=$downloads/$name new=$SC2PATH.unpacking
    if [ "$accepted" != "$word" ]; then
        fail "StarCraft II is under $licence: read it and, if you agree, give --accept-eula or ACCEPT_SC2_EULA=$word" 2
    fi
    rmdir "$SC2PATH" 2> /dev/null || true
    if [ -e "$SC2PATH" ]; then
        fail "$SC2PATH is there, but holds no game; move it away or set another SC2PATH"
    fi
    download "${SC2_URL:-https://blzdistsc2-a.akamaihd.net/Linux/$name}" "$archive"
    verify "$archive" "${SC2_SHA256:-}" SC2_SHA256
    unpack "$archive" "$new" -P "$accepted"
    compgen -G "$new/StarCraftII/Versions/Base*/SC2_x64" > /dev/null ||
        fail "$archive has no StarCraftII/Versions/Base*/SC2_x64"
    chmod a+x "$new"/StarCraftII/Versions/Base*/SC2_x64
    chmod -R u+w,a+rX "$new/StarCraftII"
    record "$sum" "$name" "$new/StarCraftII"
    mv -T "$new/StarCraftII" "$SC2PATH"
    finish
    [ "${SC2_KEEP_ARCHIVES:-0}" = 1 ] || rm "$archive"
}

# The game is there: is it the one that is wanted?
check_game() {
    local sum="" file=""
    read -r sum file < <(grep ' SC2\..*\.zip$' "$SC2PATH/SHA256SUMS" 2> /dev/null) || true
    if [ -z "$file" ]; then
        echo "StarCraft II is in $SC2PATH already; it is not from this script, so its version is not checked."
    elif [ "$file" != "$name" ]; then
        fail "$SC2PATH holds $file, not $name; set SC2_VERSION or another SC2PATH"
    elif [ -n "${SC2_SHA256:-}" ] && [ "$sum" != "${SC2_SHA256,,}" ]; then
        fail "$SC2PATH is from an archive $file with the sha256 $sum, not SC2_SHA256=$SC2_SHA256"
    else
        echo "StarCraft II is in $SC2PATH already ($file)."
    fi
}

install_maps() {
    local archive=$downloads/SMAC_Maps.zip maps=$SC2PATH/Maps/SMAC_Maps new=$SC2PATH/Maps/SMAC_Maps.unpacking
    local url=https://github.com/oxwhirl/smac/releases/download/v0.1-beta1/SMAC_Maps.zip
    mkdir -p "$SC2PATH/Maps" 2> /dev/null || fail "$SC2PATH/Maps cannot be made"
    rmdir "$maps" 2> /dev/null || true
    if [ -e "$maps" ]; then
        fail "$maps is there, but holds no map; move it away"
    fi
    download "${SMAC_MAPS_URL:-$url}" "$archive"
    verify "$archive" "${SMAC_MAPS_SHA256:-}" SMAC_MAPS_SHA256
    unpack "$archive" "$new"
    compgen -G "$new/SMAC_Maps/*.SC2Map" > /dev/null || fail "$archive has no SMAC_Maps/*.SC2Map"
    chmod -R u+w,a+rX "$new/SMAC_Maps"
    record "$sum" SMAC_Maps.zip "$SC2PATH"
    mv -T "$new/SMAC_Maps" "$maps"
    finish
    [ "${SC2_KEEP_ARCHIVES:-0}" = 1 ] || rm "$archive"
}

accepted=${ACCEPT_SC2_EULA:-}
for option in "$@"; do
    case "$option" in
        --accept-eula) accepted=$word ;;
        -h | --help)
            sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit
            ;;
        *) fail "unknown option $option; there are --accept-eula and --help" 2 ;;
    esac
done
for tool in curl unzip sha256sum awk; do
    command -v "$tool" > /dev/null || fail "$tool is needed; install it first"
done

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SC2PATH=$(realpath -m "${SC2PATH:-$project/3rdparty/StarCraftII}")
downloads=$(realpath -m "${SC2_DOWNLOADS:-$(dirname "$SC2PATH")}")
name=SC2.${SC2_VERSION:-4.10}.zip
sum=""
unpacking=""
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if compgen -G "$SC2PATH/Versions/Base*/SC2_x64" > /dev/null; then
    check_game
else
    mkdir -p "$(dirname "$SC2PATH")" "$downloads" 2> /dev/null || fail "$(dirname "$SC2PATH") or $downloads cannot be made"
    exec 9< "$(dirname "$SC2PATH")"
    if command -v flock > /dev/null; then
        flock --nonblock 9 || fail "another install_sc2.sh is at work in $(dirname "$SC2PATH")"
    fi
    install_game
fi
if compgen -G "$SC2PATH/Maps/SMAC_Maps/*.SC2Map" > /dev/null; then
    echo "SMAC's maps are in $SC2PATH/Maps/SMAC_Maps already."
else
    mkdir -p "$downloads" 2> /dev/null || fail "$downloads cannot be made"
    install_maps
fi
echo "Done. Where the game is has to be known wherever you train:"
printf 'export SC2PATH=%q\n' "$SC2PATH"
