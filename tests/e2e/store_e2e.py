#!/usr/bin/env python3
"""The store of a live server is looked after: by `ovdiff store …` and by a client
that shares no code with ours."""

import json
import pathlib
import subprocess
import tempfile
import threading
import unittest

from harness import (BIN, BUNDLE, Client, PATIENCE_SECONDS, Server, ServerCase, answer_of, grpc,
                     run_to_failure, scene, store_pb, vocab_pb)


def run_ovdiff(server, *arguments):
    done = subprocess.run([str(BIN / "ovdiff"), "store", *arguments, "--server",
                           server.address()], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE_SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr


def verify(client, **fields):
    """All messages of a VerifyStore."""
    return list(client.store.VerifyStore(store_pb.VerifyStoreRequest(**fields),
                                         timeout=PATIENCE_SECONDS))


class LiveStore(ServerCase):
    @classmethod
    def setUpClass(cls):
        backups = tempfile.TemporaryDirectory(prefix="ovdiff-e2e-backups-")
        cls.addClassCleanup(backups.cleanup)
        cls.backups = pathlib.Path(backups.name) / "of-the-store"
        cls.ARGUMENTS = ("--backup-dir", str(cls.backups), "--keep-backups", "2")
        super().setUpClass()
        cls.client.add("shop", ["sneaker", "bag"])

    def test_stats_in_words_and_json(self):
        stats = self.client.store.GetStoreStats(store_pb.GetStoreStatsRequest())
        self.assertGreaterEqual(stats.num_prototype_sets, 2)
        self.assertGreater(stats.prototype_bytes, 0)
        self.assertGreater(stats.disk_bytes, 0)
        self.assertGreater(stats.free_bytes, 0)
        self.assertFalse(stats.HasField("health"))
        status, output, errors = run_ovdiff(self.server, "stats", "--json")
        self.assertEqual(0, status, errors)
        self.assertEqual(stats.num_prototype_sets, json.loads(output)["num_prototype_sets"])
        status, output, errors = run_ovdiff(self.server, "stats")
        self.assertEqual(0, status, errors)
        self.assertIn("prototype sets", output)

    def test_a_sound_store_verifies(self):
        messages = verify(self.client)
        self.assertEqual([False] * (len(messages) - 1) + [True],
                         [message.last for message in messages])
        check = messages[-1].check
        self.assertGreaterEqual(check.num_records, 4)
        self.assertEqual((0, 0), (check.num_problems, check.num_dropped))
        status, output, errors = run_ovdiff(self.server, "verify")
        self.assertEqual(0, status, errors)
        self.assertIn("no damage", output)
        metrics = self.server.metrics()
        self.assertEqual(0, metrics["ovdiff_store_last_verify_problems"])
        self.assertGreater(metrics["ovdiff_store_last_verify_timestamp_seconds"], 1.6e9)
        self.assertEqual(0, metrics["ovdiff_store_damaged_sets"])

    def test_one_operation_at_a_time_and_calls_go_on(self):
        alone = answer_of(self.client.segment("shop", scene(0)))
        slow = self.client.store.VerifyStore(
            store_pb.VerifyStoreRequest(max_bytes_per_second=1), timeout=PATIENCE_SECONDS)
        next(slow)
        running = self.client.store.GetStoreStats(store_pb.GetStoreStatsRequest()).running
        self.assertEqual("verify", running.name)
        self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: self.client.store.CompactStore(store_pb.CompactStoreRequest(),
                                                   timeout=PATIENCE_SECONDS),
            "verify", running.caller)
        status, _, errors = run_ovdiff(self.server, "backup")
        self.assertEqual(1, status)
        self.assertIn("a verify of the store", errors)
        self.assertEqual(alone, answer_of(self.client.segment("shop", scene(0))))
        self.assertEqual(vocab_pb.JOB_STATE_SUCCEEDED,
                         self.client.add("meanwhile", ["coat"])[-1].job.state)
        slow.cancel()
        with self.assertRaises(grpc.RpcError):
            list(slow)
        # The server lets go of it at its next record.
        event = threading.Event()
        for _ in range(PATIENCE_SECONDS * 10):
            stats = self.client.store.GetStoreStats(store_pb.GetStoreStatsRequest())
            if not stats.HasField("running"):
                break
            event.wait(0.1)
        self.assertFalse(stats.HasField("running"))
        self.assertEqual(0, run_ovdiff(self.server, "verify", "--skip-files")[0])

    def test_garbage_is_shown_and_then_collected(self):
        self.client.add("heap", ["dress", "shirt"])
        self.client.vocabulary.RemoveClasses(
            vocab_pb.RemoveClassesRequest(vocabulary="heap", names=["shirt"]))
        before = self.client.store.GetStoreStats(store_pb.GetStoreStatsRequest())
        kept = answer_of(self.client.segment("heap", scene(1)))
        arguments = ("gc", "--keep-versions", "1", "--min-age", "0")
        status, output, errors = run_ovdiff(self.server, *arguments, "--json")
        self.assertEqual(0, status, errors)
        planned = json.loads(output)
        self.assertTrue(planned["dry_run"])
        self.assertEqual(1, planned["num_prototype_sets"], planned)
        self.assertEqual(1, planned["num_support_sets"], planned)
        status, output, errors = run_ovdiff(self.server, *arguments)
        self.assertIn("would delete 1 prototype set", output)
        self.assertIn("--yes", errors)
        same = self.client.store.GetStoreStats(store_pb.GetStoreStatsRequest())
        self.assertEqual(before.num_prototype_sets, same.num_prototype_sets)

        status, output, errors = run_ovdiff(self.server, *arguments, "--yes", "--json")
        self.assertEqual(0, status, errors)
        done = json.loads(output)
        self.assertFalse(done["dry_run"])
        self.assertEqual(planned["bytes"], done["bytes"])
        after = self.client.store.GetStoreStats(store_pb.GetStoreStatsRequest())
        self.assertEqual(before.num_prototype_sets - 1, after.num_prototype_sets)
        self.assertEqual(before.num_support_sets - 1, after.num_support_sets)
        self.assertEqual(kept, answer_of(self.client.segment("heap", scene(1))))
        self.assertEqual(done["bytes"],
                         self.server.metrics()["ovdiff_store_garbage_freed_bytes_total"])
        self.assert_fails(grpc.StatusCode.NOT_FOUND,
                          lambda: self.client.segment("heap", scene(1), version=2), "heap")
        status, output, errors = run_ovdiff(self.server, "compact", "--json")
        self.assertEqual(0, status, errors)
        self.assertGreater(json.loads(output)["disk_bytes_after"], 0)
        self.assertEqual(0, run_ovdiff(self.server, "verify")[0])

    def test_backups_go_to_the_operators_folder(self):
        first = self.client.store.BackUpStore(store_pb.BackUpStoreRequest(),
                                              timeout=PATIENCE_SECONDS)
        self.assertGreater(first.bytes, 0)
        self.assertGreater(first.num_files, 0)
        self.assertTrue(any(self.backups.rglob("*")))
        status, output, errors = run_ovdiff(self.server, "backup", "--json")
        self.assertEqual(0, status, errors)
        self.assertEqual(first.id + 1, int(json.loads(output)["id"]))
        self.assertGreater(
            self.server.metrics()["ovdiff_store_last_backup_timestamp_seconds"], 1.6e9)


class Stores(unittest.TestCase):
    def test_damage_is_named_dropped_and_built_again(self):
        with tempfile.TemporaryDirectory(prefix="ovdiff-e2e-store-") as folder:
            store = pathlib.Path(folder) / "store"
            with Server(store) as server, Client(server.address()) as client:
                client.add("shop", ["sneaker", "bag"])
                before = answer_of(client.segment("shop", scene(0)))
                self.assertEqual(0, run_ovdiff(server, "compact")[0])
                server.stop()
            self.flip(store)
            with Server(store) as server, Client(server.address()) as client:
                self.check_live(server, client, before)

    @staticmethod
    def flip(store):
        """One bit in the middle of the largest file: inside the largest record."""
        path = max(store.rglob("*.blob"), key=lambda file: file.stat().st_size)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)

    def check_live(self, server, client, before):
        messages = verify(client)
        problems = [problem for message in messages for problem in message.check.problems]
        self.assertEqual(len(problems), messages[-1].check.num_problems)
        damaged = [problem for problem in problems if problem.table in ("proto", "support")]
        self.assertEqual(1, len(damaged), problems)
        self.assertEqual(grpc.StatusCode.DATA_LOSS.value[0], damaged[0].error.code)
        self.assertFalse(damaged[0].is_dropped)
        self.assertEqual(1, server.metrics()["ovdiff_store_damaged_sets"])
        self.assertEqual(len(problems), server.metrics()["ovdiff_store_last_verify_problems"])

        status, output, errors = run_ovdiff(server, "verify")
        self.assertEqual(5, status, errors)
        self.assertIn(damaged[0].key, output)
        status, output, errors = run_ovdiff(server, "scrub", "--json")
        self.assertEqual(5, status, errors)
        self.assertEqual(1, json.loads(output)["num_dropped"])
        self.assertEqual(vocab_pb.JOB_STATE_SUCCEEDED,
                         client.add("shop", ["sneaker", "bag"])[-1].job.state)
        self.assertEqual(before[0], answer_of(client.segment("shop", scene(0)))[0])
        status, output, errors = run_ovdiff(server, "verify", "--skip-files")
        self.assertNotIn("proto", output)

    def test_half_the_space_if_asked_and_both_kinds_are_read(self):
        with tempfile.TemporaryDirectory(prefix="ovdiff-e2e-store-") as folder:
            store = pathlib.Path(folder) / "store"
            size = lambda client: client.store.GetStoreStats(store_pb.GetStoreStatsRequest()).prototype_bytes
            with Server(store) as server, Client(server.address()) as client:
                client.add("shop", ["bag"])
                whole = size(client)
                server.stop()
            with Server(store, "--store-float16") as server, Client(server.address()) as client:
                client.add("shop", ["sneaker"])
                self.assertAlmostEqual(0.5, (size(client) - whole) / whole, delta=0.1)
                before = answer_of(client.segment("shop", scene(0)))
                server.stop()
            with Server(store) as server, Client(server.address()) as client:
                self.assertEqual(before, answer_of(client.segment("shop", scene(0))))

    def test_backups_do_not_go_into_the_store(self):
        with tempfile.TemporaryDirectory(prefix="ovdiff-e2e-store-") as folder:
            status, output = run_to_failure(["--bundle", str(BUNDLE), "--store", folder,
                                             "--backup-dir", f"{folder}/./backups/"])
            self.assertEqual(2, status, output)
            self.assertIn("inside the store", output)

    def test_without_a_folder_backups_are_refused(self):
        with tempfile.TemporaryDirectory(prefix="ovdiff-e2e-store-") as folder:
            with Server(pathlib.Path(folder) / "store") as server:
                status, _, errors = run_ovdiff(server, "backup")
                self.assertEqual(1, status)
                self.assertIn("--backup-dir", errors)


if __name__ == "__main__":
    unittest.main()
