#!/bin/sh
# Makes the small runtime base from Debian packages: Python, its standard library, OpenSSL, certificates, time zones.
#
#   sh deploy/images/runtime.sh DIRECTORY
#
# Writes runtime.tar, a file system without a shell, a package manager or anything of the machine it was made on, and
# tools.tar, `strip` for the stage that builds. Needs apt-get and dpkg-deb, as every Debian and Ubuntu has, and neither
# root nor a registry. The same package versions give the same bytes.
#
# DEBIAN_MIRROR           default: the mirror this machine uses if it is a Debian, elsewhere it has to be given;
#                         a snapshot of the archive holds versions still
# DEBIAN_SECURITY_MIRROR  the same for security updates; `none` leaves them out
set -eu

SUITE=trixie
PYTHON=3.13
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# What the fleet and the wheels it uses load; a test starts every service on it. No readline, curses, dbm or tk.
PACKAGES="base-files ca-certificates libbz2-1.0 libc6 libexpat1 libffi8 libgcc-s1 liblzma5 libpython$PYTHON-minimal
    libpython$PYTHON-stdlib libsqlite3-0 libssl3t64 libstdc++6 libuuid1 libzstd1 media-types netbase python$PYTHON-minimal
    tzdata zlib1g"
TOOLS="binutils binutils-$(uname -m | tr _ -)-linux-gnu libbinutils libctf-nobfd0 libjansson4 libsframe1"

fail() {
    echo "error: $1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: runtime.sh DIRECTORY"
for program in apt-get dpkg-deb tar; do
    command -v $program >/dev/null || fail "$program is missing: the runtime base is made on a Debian or Ubuntu"
done
[ -r $KEYRING ] || fail "$KEYRING is missing: apt-get install debian-archive-keyring"
output=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# --- the packages, by an apt of its own: the system's lists and settings stay as they are

mirror() {
    # The place this machine's apt gets the archive $1 from; nothing unless it is a Debian.
    grep -qx 'ID=debian' /etc/os-release || return 0
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed 's#/*$##' | grep "/$1\$" | head -1
}
main=${DEBIAN_MIRROR:-$(mirror debian)}
security=${DEBIAN_SECURITY_MIRROR:-$(mirror debian-security)}
[ -n "$main" ] || fail "DEBIAN_MIRROR is needed: the address of a Debian archive, since this machine is no Debian"
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/none" "$work/packages" "$work/tools" "$root"
{
    echo "deb [signed-by=$KEYRING] $main $SUITE main"
    [ "${security:-none}" = none ] ||
        echo "deb [signed-by=$KEYRING] $security $SUITE-security main"
} >"$work/sources.list"
own_apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/none" \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$work/none" -o Dir::State="$work/state" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=2 "$@"
}
own_apt update
(cd "$work/packages" && own_apt download $PACKAGES)
(cd "$work/tools" && own_apt download $TOOLS)

# --- unpacked; /bin, /lib and /lib64 are links into /usr on every Debian of today

mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64"
for name in bin lib lib64; do ln -s "usr/$name" "$root/$name"; done
mkdir -p "$root/var/lib/dpkg/status.d"
for package in "$work"/packages/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --no-same-owner --keep-directory-symlink
    # Where vulnerability scanners look for what a file system without dpkg is made of.
    dpkg-deb --field "$package" >"$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)"
done

# --- what a service never reads; licences stay

cd "$root"
stdlib=usr/lib/python$PYTHON
find usr/share -mindepth 1 -maxdepth 1 ! -name doc ! -name zoneinfo ! -name ca-certificates -exec rm -rf {} +
find usr/share/doc -type f ! -name copyright -delete
find usr/share/doc -type l -delete
find usr/share -type d -empty -delete
rm -rf boot dev etc home media mnt opt proc root run sbin srv sys tmp usr/games usr/include usr/local usr/sbin usr/src \
    usr/lib/*/gconv usr/lib/locale usr/lib/mime usr/lib/systemd usr/lib/valgrind usr/share/zoneinfo/right \
    usr/share/zoneinfo/posix var/backups var/cache var/lib/misc var/local var/log var/mail var/opt var/spool \
    $stdlib/config-* $stdlib/ensurepip $stdlib/idlelib $stdlib/lib2to3 $stdlib/pydoc_data $stdlib/test \
    $stdlib/tkinter $stdlib/turtle.py $stdlib/turtledemo $stdlib/venv
find usr/bin -mindepth 1 ! -name "python$PYTHON" -delete
rm -f $stdlib/lib-dynload/_curses*.so $stdlib/lib-dynload/_dbm*.so $stdlib/lib-dynload/_test*.so \
    $stdlib/lib-dynload/_tkinter*.so $stdlib/lib-dynload/_xxtest*.so $stdlib/lib-dynload/readline*.so \
    $stdlib/lib-dynload/xx*.so
ln -s "python$PYTHON" usr/bin/python3
ln -s python3 usr/bin/python

# --- what the packages' own scripts would have made

mkdir -p dev etc/ssl/certs home/nonroot proc run sys tmp var/tmp
(cd usr/share/ca-certificates && find . -name '*.crt' | LC_ALL=C sort | xargs cat) >etc/ssl/certs/ca-certificates.crt
rm -rf usr/share/ca-certificates
for file in services protocols; do
    dpkg-deb --fsys-tarfile "$work"/packages/netbase_*.deb | tar -x -O "./etc/$file" >etc/$file
done
dpkg-deb --fsys-tarfile "$work"/packages/media-types_*.deb | tar -x -O ./etc/mime.types >etc/mime.types
ln -s ../usr/lib/os-release etc/os-release
ln -s /usr/share/zoneinfo/UTC etc/localtime
echo 'hosts: files dns' >etc/nsswitch.conf
printf '%s\n' 'root:x:0:0:root:/:/nologin' 'nonroot:x:65532:65532:nonroot:/home/nonroot:/nologin' >etc/passwd
printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' >etc/group
# For bytecode that is never checked against its source: it starts faster, and gives the same bytes each time.
loader=$(find "$root/usr/lib64" "$root/usr/lib" -name 'ld-linux-*.so.*' | head -1)
"$loader" --library-path "$(dirname "$(find "$root/usr/lib" -name libc.so.6)")" "$root/usr/bin/python$PYTHON" -IBE \
    -m compileall -q -s "$root" --invalidation-mode unchecked-hash "$root/$stdlib"


# --- the archives

pack() {
    chmod -R u=rwX,go=rX .
    [ ! -d tmp ] || chmod 1777 tmp var/tmp
    tar --create --file "$output/$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu "$2"
}
pack runtime.tar .
mkdir "$work/unpacked"
cd "$work/unpacked"
for package in "$work"/tools/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --no-same-owner
done
find usr \( -type f -o -type l \) ! -name '*strip' ! -name 'lib*.so*' -delete
find usr -type d -empty -delete
pack tools.tar usr
