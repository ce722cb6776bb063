"""Starts the real ovdiffd on a free port, and small helpers to talk to it.

The client side is protoc's Python, so nothing here can be wrong in the same way
as our C++ client. Standard library, grpcio and protobuf only.
"""

import os
import pathlib
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import zlib

import grpc
from ovdiff.v1 import info_service_pb2 as info_pb
from ovdiff.v1 import info_service_pb2_grpc as info_grpc
from ovdiff.v1 import segmentation_service_pb2 as seg_pb
from ovdiff.v1 import segmentation_service_pb2_grpc as seg_grpc
from ovdiff.v1 import store_service_pb2 as store_pb
from ovdiff.v1 import store_service_pb2_grpc as store_grpc
from ovdiff.v1 import types_pb2 as types_pb
from ovdiff.v1 import vocabulary_service_pb2 as vocab_pb
from ovdiff.v1 import vocabulary_service_pb2_grpc as vocab_grpc

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(os.environ.get("OVDIFF_BIN", SOURCE / "build" / "release" / "bin"))
BUNDLE = SOURCE / "deploy" / "bundles" / "demo"
SCENES = BUNDLE / "scenes"

# Long enough for a busy two-core machine; nothing waits this long when all is well.
PATIENCE_SECONDS = 240


def scene(number):
    return (SCENES / f"{number:02d}.png").read_bytes()


class Server:
    """An ovdiffd of its own. Use as a context manager, or start() and stop()."""

    def __init__(self, store, *arguments, bundle=BUNDLE):
        self.store = pathlib.Path(store)
        self.folder = tempfile.TemporaryDirectory(prefix="ovdiff-e2e-")
        self.address_file = pathlib.Path(self.folder.name) / "address"
        self.log_path = pathlib.Path(self.folder.name) / "log"
        self.command = [str(BIN / "ovdiffd"), "--bundle", str(bundle), "--store", str(self.store),
                        "--listen", "127.0.0.1:0", "--address-file", str(self.address_file),
                        "--admin-listen", "127.0.0.1:0", *arguments]
        self.process = None

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ovdiffd ended with {self.process.returncode}:\n{self.log()}")
            if self.address_file.exists():
                self.check_ready()
                return
            time.sleep(0.05)
        raise AssertionError(f"ovdiffd was not ready in {PATIENCE_SECONDS} s:\n{self.log()}")

    def check_ready(self):
        status, text = self.get("/readyz")
        if status != 200:
            raise AssertionError(f"the address file is there, but /readyz says {status} {text}")

    def address(self):
        """host:port of gRPC."""
        return self.address_file.read_text().splitlines()[0]

    def admin_address(self):
        return self.address_file.read_text().splitlines()[1]

    def get(self, path):
        """(HTTP status, text) of the admin port."""
        try:
            url = f"http://{self.admin_address()}{path}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """{'name{labels}': value} of /metrics."""
        result = {}
        for line in self.get("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                result[name] = float(value)
        return result

    def batches(self):
        """(batches of windows run, windows in them) so far."""
        metrics = self.metrics()
        return metrics["ovdiff_batches_total"], metrics["ovdiff_batched_windows_total"]

    def log(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def stop(self):
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()


def run_to_failure(arguments):
    """(status, output) of an ovdiffd that is not to come up."""
    done = subprocess.run([str(BIN / "ovdiffd"), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=PATIENCE_SECONDS, check=False)
    return done.returncode, done.stdout


class Client:
    """The stubs, and the few calls that the tests make again and again."""

    def __init__(self, address):
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(address, options=options)
        self.vocabulary = vocab_grpc.VocabularyServiceStub(self.channel)
        self.segmentation = seg_grpc.SegmentationServiceStub(self.channel)
        self.store = store_grpc.StoreServiceStub(self.channel)
        self.info = info_grpc.InfoServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def raw_unary(self, path, request=b""):
        """A call with bytes for messages: for services that have no stubs here."""
        return self.channel.unary_unary(path)(request, timeout=PATIENCE_SECONDS)

    def add(self, vocabulary, names, pictures=2, steps=2, **fields):
        """All messages of an AddClasses with few pictures and steps."""
        return list(self.vocabulary.AddClasses(
            add_request(vocabulary, names, pictures, steps, **fields), timeout=PATIENCE_SECONDS))

    def segment(self, vocabulary, picture, **fields):
        image = picture if isinstance(picture, types_pb.Image) else types_pb.Image(encoded=picture)
        fields.setdefault("label_map_format", seg_pb.LABEL_MAP_FORMAT_RAW_U16)
        request = seg_pb.SegmentRequest(vocabulary=vocabulary, image=image, **fields)
        return self.segmentation.Segment(request, timeout=PATIENCE_SECONDS)


def add_request(vocabulary, names, pictures=2, steps=2, **fields):
    return vocab_pb.AddClassesRequest(
        vocabulary=vocabulary, classes=[vocab_pb.ClassSpec(name=name) for name in names],
        options=vocab_pb.BuildOptions(num_pictures=pictures, num_steps=steps, num_parts=2),
        **fields)


def answer_of(response):
    """What of a SegmentResponse must not depend on who else was there: all but times."""
    return (response.label_map.SerializeToString(deterministic=True),
            tuple(row.SerializeToString(deterministic=True) for row in response.classes),
            response.version, response.fingerprints.SerializeToString(deterministic=True),
            response.num_windows)


def png(width, height, rows, colour_type=2, depth=8):
    """A PNG file; rows: the bytes of each row, samples big-endian."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) +
            chunk(b"IEND", b""))


def read_png(data):
    """(width, height, depth, colour type, palette, rows) of a non-interlaced PNG of one channel."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    position, pixels, palette, header = 8, b"", b"", None
    while position < len(data):
        size, = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4:position + 8], data[position + 8:position + 8 + size]
        position += 12 + size
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"PLTE":
            palette = body
        elif kind == b"IDAT":
            pixels += body
    width, height, depth, colour_type = header[:4]
    return (width, height, depth, colour_type, palette,
            unfiltered(zlib.decompress(pixels), width, height, depth))


def unfiltered(data, width, height, depth):
    """Undoes PNG's row filters, for one channel of 1 to 16 bits."""
    step, size = max(1, depth // 8), (width * depth + 7) // 8
    rows, above = [], bytes(size)
    for y in range(height):
        kind, row = data[y * (size + 1)], bytearray(data[y * (size + 1) + 1:(y + 1) * (size + 1)])
        for x in range(size):
            left = row[x - step] if x >= step else 0
            corner = above[x - step] if x >= step else 0
            if kind == 1:
                row[x] = (row[x] + left) & 255
            elif kind == 2:
                row[x] = (row[x] + above[x]) & 255
            elif kind == 3:
                row[x] = (row[x] + (left + above[x]) // 2) & 255
            elif kind == 4:
                guess = left + above[x] - corner
                nearest = min((abs(guess - left), 0, left), (abs(guess - above[x]), 1, above[x]),
                              (abs(guess - corner), 2, corner))
                row[x] = (row[x] + nearest[2]) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return rows


class ServerCase(unittest.TestCase):
    """One server for all tests of a class."""

    ARGUMENTS = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="ovdiff-e2e-store-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.server = Server(pathlib.Path(cls.folder.name) / "store", *cls.ARGUMENTS)
        cls.enterContext_(cls.server)
        cls.client = Client(cls.server.address())
        cls.addClassCleanup(cls.client.channel.close)

    @classmethod
    def enterContext_(cls, server):
        server.__enter__()
        cls.addClassCleanup(server.__exit__, None, None, None)

    def assert_fails(self, code, call, *words):
        """`call` fails with `code`, and its message holds all of `words`."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual(code, error.code(), error.details())
        for word in words:
            self.assertIn(word, error.details())
        return error


__all__ = ["BIN", "BUNDLE", "Client", "PATIENCE_SECONDS", "SCENES", "SOURCE", "Server",
           "ServerCase", "add_request", "answer_of", "grpc", "info_pb", "png", "read_png",
           "run_to_failure", "scene", "seg_pb", "store_pb", "types_pb", "vocab_pb"]
