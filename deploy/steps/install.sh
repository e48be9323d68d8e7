#!/bin/sh
# Creates a virtual environment and installs this project with the given extras at the tested versions.
# Used by make, by .ci/run and inside the images, so that all three install the same things the same way.
#   deploy/steps/install.sh VENV EXTRAS [--editable]
set -eu
venv=$1 extras=$2 editable=${3:+-e}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "mutant-guard needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Set PYTHON=python3.x." >&2
    exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || {
    echo "could not create $venv; on Debian or Ubuntu: apt-get install python3-venv" >&2
    exit 1
}
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-compile -c constraints.txt $editable ".[$extras]"
# All cores compile in half a minute what pip would compile with one of them. Files that are no Python 3 are left.
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$venv/bin/python" -m compileall -q -q -j 0 "$packages" || true
