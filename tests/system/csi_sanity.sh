#!/bin/sh
# Runs csi-sanity, the conformance suite for CSI drivers, against the driver stand-in.
#
#     tests/system/csi_sanity.sh [csi-sanity option...]
#     tests/system/csi_sanity.sh build    builds the suite and runs nothing
#
# Builds the suite with Go into a cache directory when it is not there. Settings, from the environment:
#   CSI_SANITY_CACHE    the cache directory (default: ~/.cache/snapshotter-csi-sanity)
#   CSI_SANITY_VERSION  the version of csi-test (default: v5.6.0)
#   PYTHON              the interpreter that has the project installed (default: .venv/bin/python, else python3)
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
version=${CSI_SANITY_VERSION:-v5.6.0}
cache=${CSI_SANITY_CACHE:-$HOME/.cache/snapshotter-csi-sanity}/$version
python=${PYTHON:-$root/.venv/bin/python}
[ -x "$python" ] || python=python3

if [ ! -x "$cache/csi-sanity" ]; then
    mkdir -p "$cache"
    echo "building csi-sanity $version into $cache; this takes some minutes"
    GOBIN=$cache nice go install -p 1 "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@$version"
fi
[ "${1-}" != build ] || exit 0

work=$(mktemp -d)
driver=
clean_up() {
    [ -z "$driver" ] || kill "$driver" 2>/dev/null || true
    [ -z "$driver" ] || wait "$driver" || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

cd "$root"
mkfifo "$work/line"
"$python" -W error -m snapshotter.testing.driver --socket "$work/csi.sock" --state "$work/state" >"$work/line" &
driver=$!
read -r line <"$work/line" || exit 1
echo "$line"

"$cache/csi-sanity" --csi.endpoint "unix://$work/csi.sock" \
    --csi.mountdir "$work/target" --csi.stagingdir "$work/staging" --ginkgo.no-color "$@"
