#!/usr/bin/env bash
# Installs StarCraft II for Linux, SMAC's maps and the Python packages of --env-config=sc2. See --help.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
LICENCE="http://blzdistsc2-a.akamaihd.net/AI_AND_MACHINE_LEARNING_LICENSE.html"
PASSWORD="iagreetotheeula" # Blizzard's: typing it is agreeing
MAPS_URL="${SMAC_MAPS_URL:-https://github.com/oxwhirl/smac/releases/download/v0.1-beta1/SMAC_Maps.zip}"
ATTEMPTS=5
MAPS=(3m 8m 25m 5m_vs_6m 8m_vs_9m 10m_vs_11m 27m_vs_30m MMM MMM2 2s3z 3s5z 3s5z_vs_3s6z 3s_vs_3z 3s_vs_4z 3s_vs_5z
    1c3s5z 2m_vs_1z corridor 6h_vs_8z 2s_vs_1sc so_many_baneling bane_vs_bane 2c_vs_64zg)

usage() {
    cat <<HELP
Usage: ./install_sc2.sh [--version 4.10|4.6.2] [--into FOLDER] [--yes]

Installs StarCraft II for Linux (several GB), SMAC's maps, and what requirements-sc2.txt lists, then plays an episode.
It asks for your consent to Blizzard's AI and Machine Learning License. It is safe to run again: what is there is kept,
and an interrupted download goes on where it stopped.

  --version V    4.10 (default), or 4.6.2, with which the results of SMAC's paper were made
  --into FOLDER  where the game goes; default 3rdparty/StarCraftII. Any other needs SC2PATH=FOLDER afterwards
  --yes          consent without being asked (for machines, by somebody who has read the licence)
  --help         this text

Environment variables: SC2_URL and SMAC_MAPS_URL (where the archives are), SC2_SHA256 and SMAC_MAPS_SHA256 (what their
checksums must be; they are always printed), SMAC_PACKAGE (what pip installs as SMAC), SC2_PYTHON (the interpreter;
default .venv/bin/python).
HELP
}

say() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

read_options() {
    VERSION="4.10" FOLDER="$ROOT/3rdparty/StarCraftII" CONSENT=no
    while (($#)); do
        case "$1" in
            --version | --into)
                (($# > 1)) || fail "$1 needs a value (see --help)"
                if [[ $1 == --version ]]; then VERSION="$2"; else FOLDER="$2"; fi
                shift
                ;;
            --yes) CONSENT=yes ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) fail "unknown option $1 (see --help)" ;;
        esac
        shift
    done
    case "$VERSION" in
        4.10) ARCHIVE=SC2.4.10.zip BASE=Base75689 ;;
        4.6.2) ARCHIVE=SC2.4.6.2.69232.zip BASE=Base69232 ;;
        *) fail "--version $VERSION is not known: 4.10 or 4.6.2" ;;
    esac
    BINARY="Versions/$BASE/SC2_x64"
    GAME_URL="${SC2_URL:-http://blzdistsc2-a.akamaihd.net/Linux/$ARCHIVE}"
    FOLDER="$(realpath -m "$FOLDER")"
    WORK="$FOLDER/.install" # downloads and what is being unpacked
}

check_tools() {
    [[ "$(uname -s)" == Linux ]] || fail "this installs the Linux version; elsewhere Blizzard's own installer does it"
    local tool
    for tool in curl git sha256sum unzip; do
        command -v "$tool" > /dev/null || fail "$tool is missing (Debian and Ubuntu: apt install curl git unzip)"
    done
    PYTHON="${SC2_PYTHON:-$ROOT/.venv/bin/python}"
    command -v "$PYTHON" > /dev/null || fail "there is no $PYTHON: first run  make -C $ROOT .venv/.installed"
    local other
    for other in "$FOLDER"/Versions/Base*; do
        [[ ! -e $other || $other == "$FOLDER/Versions/$BASE" ]] ||
            fail "$FOLDER holds another version (${other##*/}): install this one --into another folder"
    done
}

ask_consent() {
    [[ ! -x $FOLDER/$BINARY ]] || return 0 # given when it was installed
    say "StarCraft II belongs to Blizzard Entertainment. Its use here is governed by the AI and Machine Learning License:"
    say "    $LICENCE"
    if [[ $CONSENT == yes ]]; then
        say "Accepted by --yes."
        return
    fi
    local answer=""
    printf 'Type %s to agree, anything else to stop: ' "$PASSWORD"
    read -r answer || true
    [[ $answer == "$PASSWORD" ]] || fail "the licence was not accepted; nothing was installed"
}

# is_whole FILE: whether it is a sound archive
is_whole() { unzip -tqq -P "$PASSWORD" "$1" > /dev/null 2>&1; }

# download URL FILE: resumable; FILE is there only when it is whole
download() {
    local url="$1" file="$2" attempt code status progress=--progress-bar
    [[ ! -e $file ]] || return 0
    [[ -t 2 ]] || progress=--silent
    for ((attempt = 1; attempt <= ATTEMPTS; attempt++)); do
        status=0
        code="$(curl --fail --location --show-error "$progress" --connect-timeout 30 --continue-at - \
            --write-out '%{http_code}' --output "$file.part" "$url")" || status=$?
        # HTTP 416: nothing is left to load, so the part is whole, or longer than the file (curl takes both as success)
        if [[ $code == 416 ]]; then
            if is_whole "$file.part"; then status=0; else status=33; fi
        fi
        if ((status == 0)); then
            mv "$file.part" "$file"
            return
        fi
        case "$status-$code" in
            33-* | 36-*) rm -f "$file.part" ;; # no going on here: from the beginning
            22-4*) fail "$url: HTTP $code. Another place for it: SC2_URL, SMAC_MAPS_URL (see --help)" ;;
        esac
        say "Download interrupted (curl $status, HTTP $code), attempt $attempt of $ATTEMPTS."
        sleep "${SC2_RETRY_SECONDS:-3}"
    done
    fail "$url could not be downloaded; run this again, it goes on where it stopped"
}

# verify FILE SHA256: prints the checksum, compares it where one is wanted, tests the archive; a bad one is removed
verify() {
    local file="$1" wanted="$2" found
    found="$(sha256sum "$file" | cut -d ' ' -f 1)"
    say "SHA-256 of ${file##*/}: $found"
    if [[ -n $wanted && $found != "$wanted" ]]; then
        rm -f "$file"
        fail "${file##*/} is not what was expected (SHA-256 $wanted); it was removed, run this again"
    fi
    if ! is_whole "$file"; then
        rm -f "$file"
        fail "${file##*/} is damaged; it was removed, run this again"
    fi
}

# unpack ARCHIVE FOLDER: into that folder, emptied before
unpack() {
    rm -rf "$2"
    mkdir -p "$2"
    unzip -q -o -P "$PASSWORD" "$1" -d "$2" || fail "${1##*/} cannot be unpacked; is the disk full?"
}

install_game() {
    if [[ -x $FOLDER/$BINARY ]]; then
        say "StarCraft II $VERSION is there: $FOLDER"
        return
    fi
    local archive="$WORK/$ARCHIVE" fresh="$WORK/game"
    say "Downloading StarCraft II $VERSION: $GAME_URL"
    download "$GAME_URL" "$archive"
    verify "$archive" "${SC2_SHA256:-}"
    unpack "$archive" "$fresh"
    if [[ ! -f $fresh/StarCraftII/$BINARY ]]; then
        rm -f "$archive"
        fail "${archive##*/} holds no StarCraftII/$BINARY, so it is not StarCraft II $VERSION; it was removed"
    fi
    mv "$fresh/StarCraftII/$BINARY" "$WORK/SC2_x64" # put in place last: where it is, all is
    cp -a -l -f "$fresh/StarCraftII/." "$FOLDER/" 2> /dev/null || cp -a -f "$fresh/StarCraftII/." "$FOLDER/"
    chmod +x "$WORK/SC2_x64"
    mv "$WORK/SC2_x64" "$FOLDER/$BINARY"
    rm -rf "$fresh" "$archive"
}

missing_maps() {
    local map
    for map in "${MAPS[@]}"; do
        [[ -s $FOLDER/Maps/SMAC_Maps/$map.SC2Map ]] || printf ' %s' "$map"
    done
}

install_maps() {
    if [[ -z "$(missing_maps)" ]]; then
        say "SMAC's maps are there: $FOLDER/Maps/SMAC_Maps"
        return
    fi
    local archive="$WORK/SMAC_Maps.zip" fresh="$WORK/maps"
    say "Downloading SMAC's maps: $MAPS_URL"
    download "$MAPS_URL" "$archive"
    verify "$archive" "${SMAC_MAPS_SHA256:-}"
    unpack "$archive" "$fresh"
    mkdir -p "$FOLDER/Maps"
    [[ ! -d $fresh/SMAC_Maps ]] || cp -a "$fresh/SMAC_Maps" "$FOLDER/Maps/"
    rm -rf "$fresh" "$archive"
    [[ -z "$(missing_maps)" ]] || fail "the archive of maps lacks:$(missing_maps). Another one: SMAC_MAPS_URL=..."
}

install_packages() {
    say "Installing requirements-sc2.txt with $PYTHON"
    local list="$ROOT/requirements-sc2.txt"
    # the older form of the game's messages, in the same folder as the newer: both go, the newer comes anew
    if "$PYTHON" -m pip show --quiet s2clientprotocol > /dev/null 2>&1; then
        "$PYTHON" -m pip uninstall --quiet --yes s2clientprotocol pys2clientprotocol ||
            fail "pip could not uninstall s2clientprotocol (its reason is above)"
    fi
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps \
        "${SMAC_PACKAGE:-$(grep '^smac ' "$list")}" -r <(grep -v '^smac ' "$list") ||
        fail "pip could not install requirements-sc2.txt (its reason is above)"
}

self_test() {
    say "Self-test: one episode of 3m"
    local results="$WORK/selftest"
    SC2PATH="$FOLDER" "$PYTHON" "$ROOT/src/main.py" --config=iql --env-config=sc2 with env_args.map_name=3m t_max=1 \
        batch_size_run=1 test_nepisode=0 save_model=False seed=1 quiet=True local_results_path="$results" > /dev/null ||
        fail "the self-test failed (its reason is above); game, maps and packages are in place"
    rm -rf "$WORK"
}

main() {
    read_options "$@"
    check_tools
    ask_consent
    mkdir -p "$WORK"
    install_game
    install_maps
    install_packages
    self_test
    say "StarCraft II $VERSION is ready: $FOLDER"
    if [[ $FOLDER != "$ROOT/3rdparty/StarCraftII" ]]; then say "Before using it: export SC2PATH=$FOLDER"; fi
    say "Try it: $PYTHON src/main.py --config=asae --env-config=sc2 with env_args.map_name=3m"
}

main "$@"
