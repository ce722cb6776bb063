#!/usr/bin/env python3
"""Lays out the libraries that no Debian package has, under .deps/.

  libtorch        LibTorch for the CPU, out of PyPI's `torch` wheel
  libtorch-cuda   the same with CUDA (--cuda; some 2.5 GB of downloads)
  googleapis      google/rpc/*.proto, for the error details of the API

Every wheel is pinned by version and SHA-256; pip fetches it (so mirrors,
proxies and PIP_* settings work as always), and only the files that are needed
are kept. A layout appears under its name only once it is whole, and carries a
stamp with its pins: a second run downloads nothing. Standard library only.
"""

import argparse
import fcntl
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass

STAMP = ".ovdiff-pins.json"
# Raise when the rules below change what a layout holds.
LAYOUT_VERSION = 1

# What the wheels are built for: the C++ libraries inside do not care which
# Python runs this script, so the target is named and not detected.
TARGET = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
for tag in ("_2_28", "_2_27", "_2_26", "_2_25", "_2_24", "_2_18", "_2_17", "2014"):
    TARGET += ["--platform", f"manylinux{tag}_x86_64"]


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel and what to keep of it: (prefix inside, folder here)."""

    name: str
    version: str
    sha256: str
    keep: tuple
    # File names to keep below the prefixes; empty: all.
    only: tuple = ()
    # Prefixes to leave out.
    drop: tuple = ()


# The wheel's own protobuf headers would shadow the system's (DESIGN.md 7).
TORCH_DROP = ("torch/include/google/",)
# All libraries of CUDA land in one folder: each of them looks for the others
# beside itself. Its headers stay apart from LibTorch's.
CUDA = (("nvidia/cu13/lib/", "lib"), ("nvidia/cu13/include/", "cuda/include"))


def cuda_wheel(name, version, sha256, only=()):
    """A wheel of NVIDIA's: those named -cu13 have a folder of their own inside."""
    keep = CUDA
    if name.endswith("-cu13"):
        part = name.split("-")[1]
        keep = ((f"nvidia/{part}/lib/", "lib"), (f"nvidia/{part}/include/", "cuda/include"))
    return Wheel(name, version, sha256, keep, only)


def torch_wheel(libraries):
    return Wheel(
        "torch", "2.11.0",
        "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        (("torch/include/", "include"), ("torch/lib/", "lib")),
        libraries, TORCH_DROP)


CPU_LIBRARIES = ("libtorch_cpu.so", "libc10.so", "libgomp.so.1")
# libtorch_cpu of this wheel is linked against these two.
CUDART_SHA256 = "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"
CUPTI_SHA256 = "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"

LIBTORCH = (
    torch_wheel(CPU_LIBRARIES),
    Wheel("nvidia-cuda-runtime", "13.0.96", CUDART_SHA256, CUDA[:1], ("libcudart.so.13",)),
    Wheel("nvidia-cuda-cupti", "13.0.85", CUPTI_SHA256, CUDA[:1], ("libcupti.so.13",)),
)

# The versions are those that torch 2.11.0 names in its metadata (by way of
# cuda-toolkit 13.0.2), crt and cccl (headers alone) included.
LIBTORCH_CUDA = (
    torch_wheel(CPU_LIBRARIES + ("libtorch_cuda.so", "libtorch_cuda_linalg.so", "libc10_cuda.so",
                                 "libtorch_nvshmem.so")),
    cuda_wheel("nvidia-cuda-runtime", "13.0.96", CUDART_SHA256, ("libcudart.so.13",)),
    cuda_wheel("nvidia-cuda-cupti", "13.0.85", CUPTI_SHA256, ("libcupti.so.13",)),
    cuda_wheel("nvidia-cuda-crt", "13.0.88",
               "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"),
    cuda_wheel("nvidia-cuda-cccl", "13.0.85",
               "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649"),
    cuda_wheel("nvidia-cuda-nvrtc", "13.0.88",
               "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
               ("libnvrtc.so.13", "libnvrtc-builtins.so.13.0")),
    cuda_wheel("nvidia-nvtx", "13.0.85",
               "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4"),
    cuda_wheel("nvidia-nvjitlink", "13.0.88",
               "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b"),
    cuda_wheel("nvidia-cublas", "13.1.0.3",
               "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
               ("libcublas.so.13", "libcublasLt.so.13")),
    cuda_wheel("nvidia-cufft", "12.0.0.61",
               "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
               ("libcufft.so.12",)),
    cuda_wheel("nvidia-cufile", "1.15.1.6",
               "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
               ("libcufile.so.0",)),
    cuda_wheel("nvidia-curand", "10.4.0.35",
               "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"),
    cuda_wheel("nvidia-cusolver", "12.0.4.66",
               "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
               ("libcusolver.so.12",)),
    cuda_wheel("nvidia-cusparse", "12.6.3.3",
               "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b"),
    cuda_wheel("nvidia-cudnn-cu13", "9.19.0.56",
               "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf"),
    cuda_wheel("nvidia-cusparselt-cu13", "0.8.0",
               "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd"),
    cuda_wheel("nvidia-nccl-cu13", "2.28.9",
               "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42"),
    cuda_wheel("nvidia-nvshmem-cu13", "3.4.5",
               "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
               ("libnvshmem_host.so.3", "nvshmem_bootstrap_uid.so.3")),
)

GOOGLEAPIS = (
    Wheel("googleapis-common-protos", "1.76.0",
          "59e13344a9f3651aa201a03e2bee815a3bf43a4baf1f9ff8a9b62a840ce25fac",
          (("google/rpc/", "google/rpc"),),
          ("code.proto", "error_details.proto", "status.proto")),
)


def log(message):
    print(f"deps: {message}", flush=True)


def pins_of(wheels):
    return {wheel.name: {"version": wheel.version, "sha256": wheel.sha256} for wheel in wheels}


def is_whole(folder, wheels):
    """Whether the stamp names these pins and the files are as it says."""
    try:
        stamp = json.loads((folder / STAMP).read_text())
        if stamp["layout"] != LAYOUT_VERSION or stamp["pins"] != pins_of(wheels):
            return False
        return all((folder / name).stat().st_size == size
                   for name, size in stamp["files"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(wheel, folder):
    """Has pip fetch the wheel into `folder`, and checks its hash again."""
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir",
               "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes",
               "--retries", "5", "--dest", str(folder), "--requirement", str(requirement),
               "--progress-bar", "on" if sys.stdout.isatty() else "off", *TARGET]
    for attempt in (1, 2, 3):
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0:
            break
        if attempt == 3:
            raise SystemExit(
                f"deps: error: pip could not fetch {wheel.name}=={wheel.version} "
                f"(sha256 {wheel.sha256}). Its message is above; check network, proxy and "
                "PIP_* settings, or put the wheel in a folder and set PIP_FIND_LINKS to it.")
        log(f"{wheel.name}: attempt {attempt} failed, again in {5 * attempt} s")
        time.sleep(5 * attempt)
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        raise SystemExit(f"deps: error: expected one wheel of {wheel.name}, found {found}")
    actual = sha256_of(found[0])
    if actual != wheel.sha256:
        raise SystemExit(f"deps: error: {found[0].name} has sha256 {actual}, "
                         f"pinned is {wheel.sha256}: nothing of it was used")
    return found[0]


def destination(wheel, name):
    """Where a member of the wheel goes, relative to the layout; None: nowhere."""
    if name.endswith("/") or ".." in name.split("/") or name.startswith(wheel.drop):
        return None
    for prefix, folder in wheel.keep:
        if not name.startswith(prefix):
            continue
        rest = name[len(prefix):]
        if not folder.endswith("include") and wheel.only and rest not in wheel.only:
            return None
        return f"{folder}/{rest}"
    return None


def extract(wheel, archive, layout):
    """Copies what is kept of the archive; returns {relative name: size} of the libraries."""
    kept = {}
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            target = destination(wheel, member.filename)
            if target is None:
                continue
            path = layout / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with members.open(member) as source, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            if "include/" not in target:
                kept[target] = member.file_size
    absent = [name for name in wheel.only
              if not any(target.endswith("/" + name) for target in kept)]
    if absent:
        raise SystemExit(f"deps: error: {archive.name} lacks {', '.join(absent)}")
    return kept


def lay_out(root, name, wheels):
    folder = root / name
    if is_whole(folder, wheels):
        log(f"{name}: {wheels[0].name} {wheels[0].version} is here, nothing to download")
        return
    staging = pathlib.Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    try:
        layout = staging / "layout"
        files = {}
        for wheel in wheels:
            log(f"{name}: fetching {wheel.name} {wheel.version}")
            wheel_folder = staging / "wheel"
            wheel_folder.mkdir()
            files.update(extract(wheel, download(wheel, wheel_folder), layout))
            shutil.rmtree(wheel_folder)
        stamp = {"layout": LAYOUT_VERSION, "pins": pins_of(wheels), "files": files}
        (layout / STAMP).write_text(json.dumps(stamp, indent=1) + "\n")
        if folder.exists():
            folder.rename(staging / "old")
        layout.rename(folder)
        log(f"{name}: ready in {folder}")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_leftovers(root):
    """Drops what an interrupted run left; the lock says that none is running."""
    for path in root.glob(".*-*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", action="store_true",
                        help="lay out libtorch-cuda instead of libtorch")
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent / ".deps",
                        help="where the layouts go (default: .deps of this checkout)")
    arguments = parser.parse_args()
    arguments.root.mkdir(parents=True, exist_ok=True)
    with open(arguments.root / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("another run is at work, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers(arguments.root)
        lay_out(arguments.root, "googleapis", GOOGLEAPIS)
        if arguments.cuda:
            lay_out(arguments.root, "libtorch-cuda", LIBTORCH_CUDA)
        else:
            lay_out(arguments.root, "libtorch", LIBTORCH)


if __name__ == "__main__":
    main()
