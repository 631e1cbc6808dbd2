#!/busybox sh
# shellcheck shell=dash
# First process of a guest. The machine's own files are its root, read-only; what it may write is its own memory.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LANG=C.UTF-8
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 TMPDIR=/run

b=/busybox
$b mkdir -p /proc /root
$b mount -t proc proc /proc
$b mount -t devtmpfs devtmpfs /dev
word() { $b sed -n "s/.*\bnic\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
stop() { echo "nic-test: status $1"; $b poweroff -f; }
share() { $b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 "$1" "$2"; }
trap 'stop 125' EXIT

for register in $(word poke | $b tr , ' '); do $b devmem "$register" 32 "$(word value)"; done
for module in /modules/*; do $b insmod "$module"; done
share root /root
$b mount -t proc proc /root/proc
$b mount -t sysfs sysfs /root/sys
$b mount -t devtmpfs devtmpfs /root/dev
$b mount -t bpf bpf /root/sys/fs/bpf
$b mount -t tmpfs tmpfs /root/run
machine=$(word machine)
if [ -n "$machine" ]; then share machine "$machine"; fi
$b ip link set lo up

echo "nic-test: Linux $($b uname -r), up after $($b cut -d' ' -f1 /proc/uptime) s"
status=0
export NIC_DRIVER NIC_ONLY PYTHONPATH
NIC_DRIVER=$(word driver) NIC_ONLY=$(word only) PYTHONPATH=$(word path)
$b chroot /root /bin/sh -c "cd $(word repository) && exec $(word python) -m tests.nic.guest" || status=$?
$b dmesg | $b grep -iE 'warning|bug:|oops|xdp|hang|transmit queue|reset adapter' | $b tail -n 20 || :
trap - EXIT
stop $status
