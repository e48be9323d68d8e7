#!/bin/bash
# Rehearses the images and docker-compose.yml without a container engine (Linux, as root). Copies
# what the Dockerfile copies, installs it as the Dockerfile does, builds the demo store as
# store-init does, and serves it as guard does: as an unprivileged user, without capabilities,
# without a network but loopback, and without write access outside the folders that are volumes
# there.
#   deploy/steps/rehearse.sh FOLDER      (which is kept; a second run installs nothing anew)
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" -eq 0 ] || {
    echo "rehearse.sh mounts and changes users: run it as root" >&2
    exit 1
}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
user=10001
setpriv --reuid "$user" --regid "$user" --clear-groups "${PYTHON:-python3}" -c '' 2>/dev/null || {
    echo "user $user may not run ${PYTHON:-python3}; set PYTHON to an interpreter outside private folders" >&2
    exit 1
}

say() { echo "== $*"; }

# contained "WRITABLE FOLDERS" PROGRAM...: runs the program with mounts, network and processes of
# its own.
contained() {
    # shellcheck disable=SC2016  # expanded inside
    unshare --mount --net --pid --fork --kill-child bash -euc '
        user=$1
        for path in $2; do mount --bind "$path" "$path"; done
        mount -o remount,ro,bind /
        for path in $2; do mount -o remount,rw,bind "$path"; done
        python3 -c "
import fcntl, socket, struct
with socket.socket() as any:
    fcntl.ioctl(any, 0x8914, struct.pack(\"16sh\", b\"lo\", 0x41))  # SIOCSIFFLAGS: up, running
"
        shift 2
        exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
    ' contained "$user" "$@"
}

say "Copying what the Dockerfile copies"
rm -rf "$folder/source"
sed -n '/AS source$/,/AS python$/s/^COPY //p' "$project/Dockerfile" | while read -ra words; do
    for path in "${words[@]::${#words[@]}-1}"; do
        mkdir -p "$folder/source/$(dirname "$path")"
        cp -r "$project/$path" "$folder/source/$path"
    done
done
cd "$folder/source"

for image in offline guard; do
    extras=$(sed -n "/AS $image-build\$/,/install.sh/s|.*install.sh /opt/venv ||p" "$project/Dockerfile")
    say "Installing the $image image's environment ($extras)"
    [ -e "$folder/$image/installed" ] || deploy/steps/install.sh "$folder/$image" "$extras"
    touch "$folder/$image/installed"
done
if "$folder/guard/bin/python" -c 'import torch' 2>/dev/null || "$folder/guard/bin/python" -c 'import onnx' 2>/dev/null; then
    echo "the guard's environment holds torch or onnx" >&2
    exit 1
fi

mkdir -p "$folder"/{models,stores,state,tmp}
chown "$user:$user" "$folder"/{models,stores,state,tmp}
cd "$folder/state" # the images' WORKDIR, which holds no source
export TMPDIR=$folder/tmp HOME=$folder/state PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1 \
    OPENBLAS_NUM_THREADS=1
unset "${!GUARD_@}"

say "store-init: building the demo store"
mkdir -p "$folder/demo" && cp -r "$folder/source/evaluation" "$folder/demo/"
BIN=$folder/offline/bin MODELS=$folder/models STORES=$folder/stores PYTHONPATH=$folder/demo \
    contained "$folder/models $folder/stores $folder/tmp" "$folder/source/deploy/steps/demo-store.sh"

say "guard: serving it, and classifying the samples"
GUARD_STORE=$folder/stores/digits GUARD_ORDER_KEY_FILE=$folder/state/order.key GUARD_PROBE_PORT=9000 \
    GUARD_SAMPLES_DIR=$folder/stores/samples \
    contained "$folder/state $folder/tmp" "$folder/guard/bin/python" "$folder/source/deploy/steps/ask.py" \
    "$folder/guard/bin/mutant-guard" serve --host 0.0.0.0
say "Done: the images' steps work"
