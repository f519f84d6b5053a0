#!/bin/sh
# The steps of the Dockerfile. They need nothing but Python with its venv module, so they can be walked through without
# Docker as well; the tests do that.
#
#   image/build.sh tools                  the builder's own tools, into $TOOLS
#   image/build.sh wheel                  the wheel of the source in the current directory, into $WHEELS
#   image/build.sh libraries NAME         a virtual environment at $TREE with what image/NAME.lock lists
#   image/build.sh program                the wheel, added to $TREE; compiled, with a bill of materials; links in $LINKS
#
# Whatever comes from a package index must be of the hash that a lock file names, and be built already: there is no
# compiler here. A virtual environment cannot be moved: $TREE is where it will be run.
set -eu
umask 022

install() { # with the builder's pip, into the environment of the interpreter $1
    interpreter=$1
    shift
    "$TOOLS/bin/python" -m pip --python "$interpreter" --disable-pip-version-check --quiet \
        install --no-compile --only-binary :all: "$@"
}

tools() {
    "${PYTHON:-python3}" -m venv "$TOOLS"
    install "$TOOLS/bin/python" --require-hashes --requirement image/tools.lock
}

wheel() {
    "$TOOLS/bin/python" -m hatchling build --target wheel --directory "$WHEELS"
}

libraries() {
    "${PYTHON:-python3}" -m venv --without-pip "$TREE"
    rm -f "$TREE"/bin/[Aa]ctivate*
    install "$TREE/bin/python" --require-hashes --requirement "image/$1.lock"
}

program() {
    # Found by its name, so that the installation does not remember the path of the file.
    install "$TREE/bin/python" --no-index --find-links "$WHEELS" --no-deps snapshotter
    "$TOOLS/bin/python" -m pip --python "$TREE/bin/python" check

    # No interpreter ever reads these: type stubs, and what the libraries were compiled from.
    find "$TREE/lib" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' \) -delete

    # The tree never changes, so the compiled files need no comparison with their sources, and carry no times.
    "$TREE/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$TREE/lib"

    "$TOOLS/bin/python" -m cyclonedx_py environment --output-reproducible --spec-version 1.6 --output-format JSON \
        --pyproject pyproject.toml --mc-type application --output-file "$TREE/sbom.cdx.json" "$TREE/bin/python"

    mkdir -p "$LINKS"
    "$TREE/bin/python" -c '
from importlib.metadata import distribution
print(*(script.name for script in distribution("snapshotter").entry_points.select(group="console_scripts")), sep="\n")
' | while read -r name; do ln -s "$TREE/bin/$name" "$LINKS/$name"; done
}

"$@"
