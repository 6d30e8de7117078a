#!/usr/bin/env bash
# demo.sh PROGRAMS: copies a real file system with ucopyd and proves that the copies are good; then takes a snapshot of it while
# it is written to, and goes back to it.
#
# PROGRAMS is the folder of ucopyd and ucopyctl. As root it works on loop devices; where there are none (containers, ordinary
# users) on image files, with the same programs. Whatever it makes lies in one temporary folder, and cleanup() takes it all away,
# whether the demo ends, fails or is interrupted.
#
# Anything that takes long runs in the background, in a process group of its own, while the shell waits: a signal is then acted
# upon at once, not when the command is done, and the command goes with its children.
set -euo pipefail

programs=$(cd "${1:?usage: demo.sh PROGRAMS}" && pwd)
megabytes=1024       # size of the file system
tree_megabytes=400   # size of the files in it
rounds=3

work=
daemon=
child=
writer=

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# ---- leaving nothing behind

# Ends a process group and waits until it has ended: first asked, after five seconds told.
stop() {
    local pid=$1 tries
    kill -TERM -- "-$pid" 2> /dev/null || return 0
    for ((tries = 0; tries < 50; tries++)); do
        kill -0 -- "-$pid" 2> /dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$pid" 2> /dev/null
    wait "$pid" 2> /dev/null
}

# Unmounts and detaches by looking at what is there, not at what was noted: a signal may come between making and noting.
cleanup() {
    local status=$? tries point device
    trap '' INT TERM HUP PIPE
    trap - EXIT
    set +e
    [[ -z $child ]] || stop "$child"
    [[ -z $writer ]] || stop "$writer"
    [[ -z $daemon ]] || stop "$daemon"
    if [[ -n $work ]]; then
        for point in "$work"/mount/*; do
            for ((tries = 0; tries < 50; tries++)); do
                mountpoint -q "$point" || break
                umount "$point" 2> /dev/null || sleep 0.1
            done
        done
        for device in $(loops_of "$work"); do
            losetup -d "$device" || printf 'demo: %s: could not be detached\n' "$device" >&2
        done
        rm -rf --one-file-system "$work"
    fi
    exit "$status"
}
# The loop devices over files in a folder.
loops_of() {
    losetup --list --noheadings --output NAME,BACK-FILE 2> /dev/null \
        | awk -v folder="$1/" 'index($2, folder) == 1 { print $1 }'
}

# A trap is the name of a function and nothing else: its text is read anew whenever the signal comes, also amid a command
# substitution, where bash was once seen to lose its place in a longer one.
interrupted() { exit 130; }
terminated() { exit 143; }
hung_up() { exit 129; }
unread() { exit 141; }

trap cleanup EXIT
trap interrupted INT
trap terminated TERM
trap hung_up HUP
trap unread PIPE

# Runs a command such that a signal to the demo ends it at once.
run() {
    local status=0
    setsid "$@" &
    child=$!
    wait "$child" || status=$?
    child=
    return "$status"
}

# ---- making the devices

# A folder with room for the three images: in memory if it fits, else where temporary files go.
make_folder() {
    local room=$((megabytes * 3 + 512)) memory base
    memory=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    for base in /dev/shm "${TMPDIR:-/tmp}"; do
        [[ -d $base && -w $base ]] || continue
        (($(df --output=avail -m "$base" | tail -n 1) >= room)) || continue
        [[ $base != /dev/shm ]] || ((memory >= room + 1024)) || continue
        work=$(mktemp -d "$base/ucopyd-demo.XXXXXX")
        mkdir "$work/mount" "$work/run"
        return
    done
    fail "neither /dev/shm nor ${TMPDIR:-/tmp} has room for $room MiB"
}

# Files under /usr, up to tree_megabytes of them, relative to /, as a list separated by zero bytes.
list_files() {
    local entry total=0
    while IFS= read -r -d '' entry; do
        printf '%s\0' "${entry#* /}"
        total=$((total + ${entry%% *}))
        ((total < tree_megabytes << 20)) || break
    done < <(find /usr/share/doc /usr/lib /usr/share /usr/include -xdev -readable -size -50M \
        \( -type f -o -type l \) -printf '%s %p\0' 2> /dev/null)
}

# Puts every image behind a loop device. Fails where loop devices or mounts are not to be had.
attach_loops() {
    local name
    ((EUID == 0)) || return 1
    for name in source copy1 copy2; do
        losetup --find "$work/$name.img" 2> /dev/null || return 1
    done
    for name in source copy1 copy2; do
        device[$name]=$(losetup --associated "$work/$name.img" --noheadings --output NAME | head -n 1)
        # Without direct I/O everything would be kept twice, in the file and in the device's cache. Old kernels refuse it on tmpfs.
        losetup --direct-io=on "${device[$name]}" 2> /dev/null || true
    done
    mkfs.ext4 -q "${device[source]}"
    mkdir -p "$work/mount/source"
    mount "${device[source]}" "$work/mount/source" 2> /dev/null
}

make_source() {
    local name
    step "a file system to copy"
    for name in source copy1 copy2; do
        run fallocate -l "${megabytes}M" "$work/$name.img"
        device[$name]=$work/$name.img
        mkdir -p "$work/mount/$name"
    done
    list_files > "$work/files"
    if attach_loops; then
        loops=yes
        say "three loop devices of $megabytes MiB, over files in ${work%/*}: ${device[source]} is the source,"
        say "${device[copy1]} and ${device[copy2]} become the copies"
        run xargs -0 -a "$work/files" cp -a --parents -t "$work/mount/source"
        count_tree
        umount "$work/mount/source"
    else
        loops=no
        for name in $(loops_of "$work"); do losetup -d "$name"; done
        for name in source copy1 copy2; do device[$name]=$work/$name.img; done
        say "no loop devices or mounts here (not root, or a container): the demo works on image files of $megabytes MiB in ${work%/*}"
        run xargs -0 -a "$work/files" cp -a --parents -t "$work/mount/source"
        count_tree
        run mkfs.ext4 -q -F -d "$work/mount/source" "${device[source]}"
    fi
}
count_tree() {
    say "a new ext4 file system on the source holds $(tr -cd '\0' < "$work/files" | wc -c) files from /usr, $(du -sm "$work/mount/source" | cut -f 1) MiB"
}

# ---- the copy

start_daemon() {
    local tries
    step "the daemon"
    setsid "$programs/ucopyd" --runtime-directory "$work/run" > "$work/ucopyd.log" 2>&1 &
    daemon=$!
    export UCOPYD_SOCKET=$work/run/io.ucopyd
    for ((tries = 0; tries < 100; tries++)); do
        [[ ! -S $UCOPYD_SOCKET ]] || break
        kill -0 "$daemon" 2> /dev/null || break
        sleep 0.1
    done
    [[ -S $UCOPYD_SOCKET ]] || { cat "$work/ucopyd.log" >&2; fail "ucopyd did not start"; }
    say "ucopyd runs as process $daemon and listens on $UCOPYD_SOCKET"
}

copy_both() {
    local number
    step "one job, two copies: the source is read once"
    say "ucopyctl copy --verify ${device[source]} ${device[copy1]} ${device[copy2]}"
    run "$programs/ucopyctl" copy --verify "${device[source]}" "${device[copy1]}" "${device[copy2]}"
    for number in 1 2; do
        run cmp "${device[source]}" "${device[copy$number]}"
        say "cmp: copy $number is the same as the source, byte for byte"
    done
}

compare_trees() {
    local name
    step "the files in the copies"
    for name in source copy1 copy2; do
        if [[ $loops == yes ]]; then
            mount -o ro "${device[$name]}" "$work/mount/$name"
        elif [[ $name != source ]]; then
            run debugfs -R "rdump / $work/mount/$name" "${device[$name]}" 2> /dev/null
        fi
        [[ $name != source ]] || continue
        run diff -r --no-dereference --exclude lost+found "$work/mount/source" "$work/mount/$name"
        say "diff -r: ${name/copy/copy } holds the same files as the source"
    done
    for name in source copy1 copy2; do
        if [[ $loops == yes ]]; then umount "$work/mount/$name"; else run rm -rf "$work/mount/$name"; fi
    done
}

# ---- a snapshot

pieces=4096  # of 64 KiB, which is 256 MiB

# Where a mapped device can be reached.
export_of() { printf 'nbd+unix:///?socket=%s/run/nbd/%s.sock' "$work" "$1"; }
# Shows a command and runs it.
ctl() {
    local word words=ucopyctl
    for word; do
        [[ $word != *' '* ]] || word="'$word'"
        words+=" $word"
    done
    say "$words"
    run "$programs/ucopyctl" "$@"
}

snapshot() {
    local sectors=$((megabytes * 2048)) status=0
    step "a snapshot, while its origin is written to"
    # The first bytes of a new store are zero.
    dd if=/dev/zero of="${device[copy2]}" bs=4096 count=1 conv=notrunc,fsync status=none
    ctl create old --table "0 $sectors snapshot ${device[source]} ${device[copy2]} P 128"
    ctl create home --table "0 $sectors snapshot-origin ${device[source]}"
    awk -v pieces=$pieces -v all=$((megabytes * 16)) 'BEGIN {
        srand(7)
        for (i = 0; i < pieces; i++) printf "write -q -P %d %d 64k\n", 1 + i % 255, int(rand() * all) * 65536
        print "flush" }' > "$work/writes"
    setsid qemu-io -f raw "$(export_of home)" < "$work/writes" > "$work/writer.log" 2>&1 &
    writer=$!
    run qemu-img compare -q -f raw -F raw "$(export_of old)" "${device[copy1]}"
    say "qemu-img compare, while $pieces pieces of 64 KiB are written to home: old is what the source was, byte for byte"
    wait "$writer" || { cat "$work/writer.log" >&2; fail "the writer failed"; }
    writer=
    run qemu-img compare -q -f raw -F raw "$(export_of old)" "${device[copy1]}"
    say "qemu-img compare, when everything is written: old still is"
    run cmp -s "${device[source]}" "${device[copy1]}" || status=$?
    ((status == 1)) || fail "the origin was not written to"
    say "cmp: the source is not"
    ctl status
}

merge_back() {
    local sectors=$((megabytes * 2048))
    step "back to the snapshot"
    ctl suspend home
    ctl reload home --table "0 $sectors snapshot-merge ${device[source]} ${device[copy2]} P 128"
    ctl suspend old
    ctl resume home
    ctl remove old
    ctl wait home --until mergeFinished
    ctl status home
    ctl remove home
    run cmp "${device[source]}" "${device[copy1]}"
    say "cmp: the source is what it was, byte for byte"
    if [[ $loops == yes ]]; then
        mount -o ro "${device[source]}" "$work/mount/source"
        mount -o ro "${device[copy1]}" "$work/mount/copy1"
        run diff -r --no-dereference --exclude lost+found "$work/mount/source" "$work/mount/copy1"
        say "diff -r: and so are its files"
        umount "$work/mount/source" "$work/mount/copy1"
    fi
}

# ---- beside the others

direct=direct
copy_with() {
    local program=$1 copy
    shift
    case $program in
    ucopyctl) run "$programs/ucopyctl" copy "${device[source]}" "$@" > "$work/output" 2>&1 ;;
    sparse) run "$programs/ucopyctl" copy --sparse "${device[source]}" "$@" > "$work/output" 2>&1 ;;
    dd) for copy; do
        run dd if="${device[source]}" of="$copy" bs=1M ${direct:+iflag=direct oflag=direct} conv=notrunc,fsync status=none
    done ;;
    qemu) for copy; do
        run qemu-img convert -n -W -m 16 ${direct:+-t none -T none} -f raw -O raw "${device[source]}" "$copy"
    done ;;
    esac
}

# Microseconds that a command takes; the images are made whole before, for some programs punch holes into them.
timed() {
    local begin
    run fallocate -l "${megabytes}M" "$work/copy1.img"
    run fallocate -l "${megabytes}M" "$work/copy2.img"
    begin=${EPOCHREALTIME/[.,]/}
    "$@" || { cat "$work/output" >&2; fail "$2 failed"; }
    elapsed=$((${EPOCHREALTIME/[.,]/} - begin))
}
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

table() {
    local program round one two
    local -A single=() double=() title=(
        [ucopyctl]="ucopyctl copy" [sparse]="ucopyctl copy --sparse" [dd]="dd bs=1M${direct:+, direct}"
        [qemu]="qemu-img convert -W -m 16")
    step "time and rate (median of $rounds runs taken in turn; to two copies dd and qemu-img run twice)"
    for ((round = 0; round < rounds; round++)); do
        for program in ucopyctl sparse dd qemu; do
            timed copy_with "$program" "${device[copy1]}"
            single[$program]+=" $elapsed"
            timed copy_with "$program" "${device[copy1]}" "${device[copy2]}"
            double[$program]+=" $elapsed"
        done
    done
    printf '%-26s %22s %22s\n' "" "to one copy" "to two copies"
    for program in ucopyctl sparse dd qemu; do
        # shellcheck disable=SC2086 # the runs are words
        one=$(median ${single[$program]}) two=$(median ${double[$program]})
        awk -v title="${title[$program]}" -v one="$one" -v two="$two" -v mega="$megabytes" 'BEGIN {
            printf "%-26s %7.2f s %7.0f MiB/s %7.2f s %7.0f MiB/s\n", title, one / 1e6, mega * 1e6 / one, two / 1e6, 2 * mega * 1e6 / two }'
    done
    say "MiB/s count what is written. qemu-img, and ucopyctl with --sparse, do not write blocks of zeroes as data."
}

# ---- the demo

declare -A device
((EUID == 0)) || ! sudo -n true 2> /dev/null || exec sudo -n -- "$(realpath "$0")" "$programs"
PATH=$PATH:/usr/sbin:/sbin
cd /
make_folder
make_source
start_daemon
copy_both
compare_trees
snapshot
merge_back
# Memory file systems of kernels before 6.6 have no direct I/O.
dd if="${device[source]}" of=/dev/null bs=1M count=1 iflag=direct status=none 2> /dev/null || direct=
table
step "done; removing devices, images and daemon"
