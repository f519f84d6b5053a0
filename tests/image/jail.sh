#!/bin/sh
# Runs a command as in a container of the image: its root holds nothing but what is named here, nothing can be written
# but /tmp, and there is no shell. Needs a mount namespace of its own (`unshare --mount`).
#
#   jail.sh ROOT LINKS WRITABLE USER PATH... -- COMMAND...
#
# ROOT is an empty directory, LINKS are laid into its root, WRITABLE is its /tmp, the PATHs are where they are outside.
# USER is a pair of numbers, or empty to stay who we are.
set -eu
root=$1 links=$2 writable=$3 user=$4
shift 4

mount -t tmpfs -o mode=755 jail "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root$(dirname "$1")"
    if [ -L "$1" ]; then
        cp -P "$1" "$root$1"
    elif [ -d "$1" ]; then
        mkdir -p "$root$1"
        mount --bind "$1" "$root$1"
        mount -o remount,bind,ro "$root$1"
    else
        touch "$root$1"
        mount --bind "$1" "$root$1"
        [ -c "$1" ] || mount -o remount,bind,ro "$root$1"
    fi
    shift
done
shift

cp -P "$links"/* "$root/"
mkdir "$root/tmp" "$root/proc"
mount --bind "$writable" "$root/tmp"
mount --rbind /proc "$root/proc"
mount -o remount,ro "$root"
exec chroot ${user:+--userspec="$user" --groups=} "$root" "$@"
