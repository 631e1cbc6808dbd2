#!/usr/bin/env bash
# Give a bare Debian 12 machine what the project needs: Debian packages, and a Python environment in .venv.
# Repeating it takes a fraction of a second when nothing is missing. Only missing packages need root.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  ca-certificates python3-venv                         # Python and its package index
  python3-bpfcc libbpf1 ethtool iproute2               # what the agent itself uses
  runc containernetworking-plugins iptables conntrack  # what a node's containerd, kubelet and kube-proxy call
  buildah skopeo mmdebstrap gcc libc6-dev              # images without a registry
  python3-dev libxdp-dev                               # what the ring library is compiled with, beside gcc
  procps kmod                                          # sysctl, ps, modprobe
  bpftool tcpdump tshark hping3 iputils-ping           # other people's tools that tests use
  libpcap0.8                                           # ... and the library beneath some of them
  nftables xdp-tools                                   # ... and that benches compare with
  gstreamer1.0-tools gstreamer1.0-plugins-base         # receivers of video (udpsrc, rtpvrawdepay; interlaced: ffmpeg)
  gstreamer1.0-plugins-good ffmpeg
  shellcheck git make curl
)

say() { printf 'setup: %s\n' "$*" >&2; }

missing_packages() {
  comm -23 <(printf '%s\n' "${packages[@]}" | sort) \
    <(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^ii *//p' | sort)
}

show_packages() { awk '/^Setting up / {printf "setup:   %s\n", $3; fflush()}' >&2; }

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if [ "$(id -u)" -ne 0 ]; then
    say "as root, please: apt-get install --no-install-recommends ${missing[*]}"
    exit 1
  fi
  say "installing Debian packages: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null | show_packages
}

# What the environment is made from; it is installed again when this changes.
wanted_environment() { cat pyproject.toml setup.py tools/setup.sh dataplane/spillway_stream/core/*.[ch] | sha256sum | cut -d' ' -f1; }

environment_works() { .venv/bin/python -c 'import spillway_stream.ring' 2>/dev/null; }

install_environment() {
  local wanted stamp=.venv/.made-from
  wanted=$(wanted_environment)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && environment_works; then return; fi
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "making the Python environment in .venv"
    rm -rf .venv
    /usr/bin/python3 -m venv --system-site-packages .venv
  fi
  say "installing the project and its tools into .venv"
  install_project
  printf '%s\n' "$wanted" >"$stamp"
}

install_project() {
  local log=.venv/install.log
  SPILLWAY_RING_REQUIRED=1 .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --editable '.[dev]' 2>&1 \
    | tee "$log" | awk '/^(Collecting|Installing|Successfully)/ {printf "setup:   %.110s\n", $0; fflush()}' >&2 \
    || { tail -n 30 "$log" >&2; say "failed; the whole output is in $log"; exit 1; }
}

exec 9<pyproject.toml # one set-up at a time
flock 9
install_packages
install_environment
