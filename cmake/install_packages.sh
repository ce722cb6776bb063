#!/usr/bin/env bash
# Installs the Debian packages that this project builds, tests and runs with.
# Asks apt only for what is missing, so a second run does nothing. Debian 12 and
# Ubuntu 24.04 or newer, the latter untried (older ones lack the CMake and compiler that we need).
#
#   cmake/install_packages.sh             what building and testing needs
#   cmake/install_packages.sh --tools     also formatter, linter, clang
#   cmake/install_packages.sh --runtime   only what the built programs need
#   cmake/install_packages.sh --list …    print the names, install nothing
set -euo pipefail

build_packages=(
  # toolchain
  build-essential ca-certificates ccache cmake git ninja-build pkg-config
  # scripts and the Python client of tests/e2e (plain Debian modules, no venv)
  python3 python3-pip python3-grpcio python3-protobuf
  # RPC
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  # store, pictures, text, numbers
  librocksdb-dev
  libopencv-core-dev libopencv-imgcodecs-dev libopencv-imgproc-dev libpng-dev
  libre2-dev libutf8proc-dev libeigen3-dev libspectra-dev
  # the rest
  libabsl-dev libcli11-dev libspdlog-dev libssl-dev nlohmann-json3-dev
  prometheus-cpp-dev
  # tests and benchmarks
  libbenchmark-dev libgmock-dev libgtest-dev
  # the accuracy harness and its scenes
  dataset-fashion-mnist python3-matplotlib python3-numpy python3-pil python3-scipy
)
tool_packages=(clang-16 clang-format-16 clang-tidy-16)
# Shared libraries of the two programs; docker/Dockerfile uses this list.
runtime_packages=(
  ca-certificates libabsl20220623 libgrpc++1.51 libopencv-core406
  libopencv-imgcodecs406 libopencv-imgproc406 libpng16-16
  libprometheus-cpp-core1.0 libprometheus-cpp-pull1.0 libprotobuf32 libre2-9
  librocksdb7.8 libspdlog1.10 libssl3 libutf8proc2
)

say() { printf '%s\n' "packages: $*"; }
die() { printf '%s\n' "packages: error: $*" >&2; exit 1; }

wanted=("${build_packages[@]}")
list_only=false
for argument in "$@"; do
  case "$argument" in
    --tools) wanted+=("${tool_packages[@]}") ;;
    --runtime) wanted=("${runtime_packages[@]}") ;;
    --list) list_only=true ;;
    *) die "unknown argument '$argument'; allowed: --tools, --runtime, --list" ;;
  esac
done
if $list_only; then
  printf '%s\n' "${wanted[@]}"
  exit 0
fi

command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
  die "this is not a Debian or Ubuntu machine (no apt-get). Install the counterparts of:
$(printf '  %s\n' "${wanted[@]}")
and build with plain cmake (CONTRIBUTING.md)."

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  # A library with a multi-arch name answers once per architecture.
  [[ $state == installed* ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  say "all ${#wanted[@]} are installed"
  exit 0
fi

if (($(id -u) == 0)); then
  as_root=(env)
elif command -v sudo >/dev/null; then
  as_root=(sudo env)
else
  die "${#missing[@]} packages are missing, and this user is neither root nor has sudo. Let an administrator run:
  apt-get install --no-install-recommends ${missing[*]}"
fi

say "installing ${#missing[@]} of ${#wanted[@]}: ${missing[*]}"
apt=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt[@]}" update -q </dev/null || die "apt-get update failed; see its message above"
"${apt[@]}" install -y -q --no-install-recommends "${missing[@]}" </dev/null ||
  die "apt-get install failed; see its message above"
say "done"
