#!/usr/bin/env python3
"""Start, stop, restart; and what does not start says why, with exit status 1."""

import json
import pathlib
import shutil
import signal
import struct
import tempfile
import threading
import time
import unittest

from harness import (BUNDLE, Client, Server, add_request, answer_of, run_to_failure, scene,
                     vocab_pb)


class Lifecycle(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ovdiff-e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.store = self.folder / "store"

    def test_classes_are_there_after_a_restart(self):
        with Server(self.store) as server:
            with Client(server.address()) as client:
                job = client.add("shop", ["sneaker", "bag"])[-1].job
                before = answer_of(client.segment("shop", scene(0)))
            self.assertEqual(0, server.stop(), server.log())
        with Server(self.store) as server:
            with Client(server.address()) as client:
                self.assertEqual(before, answer_of(client.segment("shop", scene(0))))
                again = client.vocabulary.GetJob(vocab_pb.GetJobRequest(job=job.id)).job
                self.assertEqual(vocab_pb.JOB_STATE_SUCCEEDED, again.state)
                version = client.add("shop", ["sneaker", "bag"])[-1].job.version
                self.assertEqual(job.version, version)
            self.assertEqual(0, server.stop(), server.log())

    def test_sigterm_lets_running_calls_finish(self):
        with Server(self.store) as server:
            with Client(server.address()) as client:
                client.add("shop", ["sneaker"])
                alone = answer_of(client.segment("shop", scene(0)))
                build = client.vocabulary.AddClasses(add_request("busy", ["coat"], 32, 400))
                next(build)
                answers = []
                callers = [threading.Thread(target=lambda: answers.append(
                    answer_of(client.segment("shop", scene(0))))) for _ in range(4)]
                before = self.handled(server)
                for caller in callers:
                    caller.start()
                while self.started(server) - before < len(callers):
                    time.sleep(0.005)
                begin = time.monotonic()
                server.signal(signal.SIGTERM)
                for caller in callers:
                    caller.join()
                self.assertEqual([alone] * 4, answers)
                status = server.wait()
                print(f"drained in {time.monotonic() - begin:.2f} s")
            self.assertEqual(0, status, server.log())

    @staticmethod
    def calls(server, kind):
        return sum(value for name, value in server.metrics().items()
                   if name.startswith(f"grpc_server_{kind}_total{{") and '"Segment"' in name)

    def started(self, server):
        return self.calls(server, "started")

    def handled(self, server):
        return self.calls(server, "handled")

    def test_a_kill_loses_nothing_that_was_done(self):
        with Server(self.store) as server:
            with Client(server.address()) as client:
                for message in client.vocabulary.AddClasses(
                        add_request("shop", ["sneaker", "bag"], 6, 6)):
                    done = {row.name for row in message.job.classes
                            if row.stage == vocab_pb.CLASS_STAGE_DONE}
                    if done == {"sneaker"}:
                        break
                self.assertEqual({"sneaker"}, done)
                server.signal(signal.SIGKILL)
                server.wait()
        with Server(self.store) as server:
            with Client(server.address()) as client:
                self.assertIn("sneaker",
                              [row.name for row in client.segment("shop", scene(0)).classes])
                job = client.add("shop", ["sneaker", "bag"], 6, 6)[-1].job
                self.assertEqual(vocab_pb.JOB_STATE_SUCCEEDED, job.state)
                names = [row.name for row in client.segment("shop", scene(0)).classes]
                self.assertEqual({"sneaker", "bag"}, set(names))

    def assert_refused(self, *words, bundle=BUNDLE, store=None, listen="127.0.0.1:0",
                       arguments=()):
        status, output = run_to_failure([
            "--bundle", str(bundle), "--store", str(store or self.store), "--listen", listen,
            "--admin-listen", "127.0.0.1:0", *arguments])
        self.assertEqual(1, status, output)
        for word in words:
            self.assertIn(word, output)
        return output

    def test_a_store_is_opened_once(self):
        with Server(self.store):
            self.assert_refused(str(self.store))

    def test_a_store_that_is_a_file(self):
        self.store.write_text("not a folder")
        self.assert_refused(str(self.store))

    def test_no_gpu(self):
        self.assert_refused("cuda", arguments=("--device", "cuda"))
        self.assert_refused("tpu", arguments=("--device", "tpu"))

    def test_an_address_in_use(self):
        with Server(self.store) as server:
            self.assert_refused(server.address().rsplit(":", 1)[1], store=self.folder / "other",
                                listen=server.address())

    def test_no_bundle(self):
        self.assert_refused("no-such-bundle", bundle=self.folder / "no-such-bundle")

    def damaged(self, change):
        """The demo bundle with its DINO weights changed; what the server says of it."""
        bundle = self.folder / "bundle"
        shutil.copytree(BUNDLE, bundle, ignore=shutil.ignore_patterns("scenes"))
        weights = bundle / "dino" / "model.safetensors"
        weights.chmod(0o644)
        data = change(weights.read_bytes())
        if data is None:
            weights.unlink()
        else:
            weights.write_bytes(data)
        return self.assert_refused("dino", bundle=bundle)

    @staticmethod
    def with_header(data, change):
        size, = struct.unpack("<Q", data[:8])
        header = change(json.loads(data[8:8 + size]))
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data[8 + size:]

    def test_missing_weights(self):
        self.damaged(lambda data: None)

    def test_truncated_weights(self):
        self.damaged(lambda data: data[:len(data) // 2])

    def test_weights_that_are_none(self):
        self.damaged(lambda data: b"<html>not found</html>")

    def test_misnamed_weights_are_all_named(self):
        def rename(header):
            return {name.replace("blocks.1.attn.", "blocks.1.attention."): value
                    for name, value in header.items()}
        output = self.damaged(lambda data: self.with_header(data, rename))
        for name in ("qkv.weight", "qkv.bias", "proj.weight", "proj.bias"):
            self.assertIn("blocks.1.attn." + name, output)
            self.assertIn("blocks.1.attention." + name, output)

    def test_misshapen_weights_are_named(self):
        def turn(header):
            entry = header["blocks.0.mlp.fc1.weight"]
            entry["shape"] = entry["shape"][::-1]
            return header
        self.assertIn("blocks.0.mlp.fc1.weight",
                      self.damaged(lambda data: self.with_header(data, turn)))


if __name__ == "__main__":
    unittest.main()
