#!/usr/bin/env python3
"""Tools that we did not write, against the real server: grpcurl by reflection, and
ghz with eight callers while a class is being added. `make test-foreign` calls it."""

import base64
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from google.protobuf import json_format, text_format
from harness import ServerCase, add_request, answer_of, scene, seg_pb, vocab_pb

TOOLS = pathlib.Path(os.environ["OVDIFF_TOOLS"])


def segment_request(vocabulary, picture):
    return {"vocabulary": vocabulary, "image": {"encoded": base64.b64encode(picture).decode()},
            "label_map_format": "LABEL_MAP_FORMAT_RAW_U16"}


class Grpcurl(ServerCase):
    def grpcurl(self, *arguments, message=None, messages=()):
        command = [str(TOOLS / "grpcurl"), "-plaintext"]
        messages = [*messages] if message is None else [message]
        if messages:
            command += ["-d", "@"]
        done = subprocess.run([*command, *arguments],
                              input="\n".join(json.dumps(one) for one in messages),
                              capture_output=True, text=True, timeout=240, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_lists_adds_and_segments(self):
        address = self.server.address()
        status, output, errors = self.grpcurl(address, "list")
        self.assertEqual(0, status, errors)
        self.assertLessEqual({"ovdiff.v1.VocabularyService", "ovdiff.v1.SegmentationService",
                              "ovdiff.v1.StoreService", "ovdiff.v1.InfoService", "grpc.health.v1.Health"},
                             set(output.split()))
        status, output, errors = self.grpcurl(address, "describe", "ovdiff.v1.SegmentRequest")
        self.assertEqual(0, status, errors)
        self.assertIn("vocabulary", output)

        status, output, errors = self.grpcurl(
            address, "ovdiff.v1.VocabularyService/AddClasses",
            message={"vocabulary": "shop", "classes": [{"name": "sneaker"}, {"name": "bag"}],
                     "options": {"numPictures": 2, "numSteps": 2, "numParts": 2}})
        self.assertEqual(0, status, errors)
        self.assertIn("JOB_STATE_SUCCEEDED", output)

        status, output, errors = self.grpcurl(
            address, "ovdiff.v1.SegmentationService/Segment",
            message=segment_request("shop", scene(0)))
        self.assertEqual(0, status, errors)
        answer = json_format.Parse(output, seg_pb.SegmentResponse())
        self.assertEqual(answer_of(self.client.segment("shop", scene(0))), answer_of(answer))

    def test_explains_a_pixel(self):
        self.client.add("why", ["sneaker", "bag"])
        picture = base64.b64encode(scene(0)).decode()
        status, output, errors = self.grpcurl(
            self.server.address(), "ovdiff.v1.SegmentationService/Explain",
            message={"vocabulary": "why", "image": {"encoded": picture},
                     "point": {"x": 20, "y": 31}, "options": {"usePrefilter": False},
                     "includePictures": True})
        self.assertEqual(0, status, errors)
        answer = json_format.Parse(output, seg_pb.ExplainResponse())
        labels = self.client.segment("why", scene(0), options=seg_pb.SegmentOptions(
            use_prefilter=False)).label_map
        at = 2 * (31 * labels.width + 20)
        self.assertEqual(int.from_bytes(labels.data[at:at + 2], "little"), answer.label)
        self.assertEqual(3, len(answer.classes))
        self.assertEqual(["sd", "dino", "clip"], [one.space for one in answer.classes[0].spaces])
        status, _, errors = self.grpcurl(
            self.server.address(), "ovdiff.v1.SegmentationService/Explain",
            message={"vocabulary": "why", "image": {"encoded": picture}, "className": "hat"})
        self.assertNotEqual(0, status)
        self.assertIn("CLASS_NOT_FOUND", errors)

    def test_verifies_the_store(self):
        self.client.add("kept", ["dress"])
        status, output, errors = self.grpcurl(self.server.address(),
                                              "ovdiff.v1.StoreService/VerifyStore", message={})
        self.assertEqual(0, status, errors)
        self.assertIn('"last": true', output)
        self.assertNotIn("problems", output)
        status, output, errors = self.grpcurl(self.server.address(),
                                              "ovdiff.v1.StoreService/CollectGarbage", message={})
        self.assertEqual(0, status, errors)
        # grpcurl writes the names as reflection gives them: Debian's gRPC leaves out json_name.
        self.assertRegex(output, '"dry_?[rR]un": true')

    def test_a_pack_goes_out_and_comes_in(self):
        address = self.server.address()
        self.client.add("out", ["sneaker"])
        status, output, errors = self.grpcurl(
            address, "ovdiff.v1.VocabularyService/ExportVocabulary",
            message={"vocabulary": "out", "includePictures": True})
        self.assertEqual(0, status, errors)
        decoder, parts = json.JSONDecoder(), []
        while output.strip():
            message, end = decoder.raw_decode(output.lstrip())
            parts.append(message)
            output = output.lstrip()[end:]
        self.assertTrue(base64.b64decode(parts[0]["data"]).startswith(b"OVPACK\r\n"))
        status, output, errors = self.grpcurl(
            address, "ovdiff.v1.VocabularyService/ImportVocabulary",
            messages=[{"config": {"vocabulary": "in"}}, *parts])
        self.assertEqual(0, status, errors)
        self.assertIn("IMPORT_OUTCOME_ADDED", output)
        self.assertEqual(self.client.segment("out", scene(0)).label_map,
                         self.client.segment("in", scene(0)).label_map)
        status, output, errors = self.grpcurl(
            address, "ovdiff.v1.VocabularyService/DiffVocabularyVersions",
            message={"from": {"vocabulary": "out"}, "to": {"vocabulary": "in"}})
        self.assertEqual(0, status, errors)
        self.assertRegex(output, '"num_?[uU]nchanged": "1"')

    def test_errors_are_readable(self):
        status, _, errors = self.grpcurl(
            self.server.address(), "ovdiff.v1.SegmentationService/Segment",
            message=segment_request("nowhere", scene(0)))
        self.assertNotEqual(0, status)
        for word in ("NotFound", "nowhere", "ErrorInfo", "VOCABULARY_NOT_FOUND"):
            self.assertIn(word, errors)


class Ghz(ServerCase):
    CALLERS, CALLS = 8, 240

    def test_eight_callers_while_a_class_is_added(self):
        names = ["sneaker", "bag", "dress"]
        self.client.add("crowd", names, pictures=3, steps=2)
        alone = self.client.segment("crowd", scene(4))
        build = self.client.vocabulary.AddClasses(add_request("busy", ["coat"], 32, 400))
        job = next(build).job.id
        before = self.server.batches()
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            done = subprocess.run(
                [str(TOOLS / "ghz"), "--insecure", "--call",
                 "ovdiff.v1.SegmentationService.Segment", "-c", str(self.CALLERS), "-n",
                 str(self.CALLS), "-t", "60s", "-O", "json", "--debug", str(log), "-d",
                 json.dumps(segment_request("crowd", scene(4))), self.server.address()],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500, check=False)
            self.assertEqual(0, done.returncode, done.stderr)
            responses = [json.loads(line)["response"] for line in log.read_text().splitlines()
                         if '"Received response"' in line]
        after = self.server.batches()
        state = self.client.vocabulary.GetJob(vocab_pb.GetJobRequest(job=job)).job.state
        self.client.vocabulary.CancelJob(vocab_pb.CancelJobRequest(job=job))

        report = json.loads(done.stdout)
        self.assertEqual({"OK": self.CALLS}, report["statusCodeDistribution"], report)
        self.assertEqual(self.CALLS, len(responses))
        for response in responses:
            message = text_format.Parse(response, seg_pb.SegmentResponse())
            self.assertEqual(answer_of(alone), answer_of(message))
        self.assertEqual(vocab_pb.JOB_STATE_RUNNING, state, "the class was done too early")
        mean_batch = (after[1] - before[1]) / (after[0] - before[0])
        milliseconds = {row["percentage"]: row["latency"] / 1e6
                        for row in report["latencyDistribution"]}
        print(f"ghz: {report['rps']:.1f} calls/s, median {milliseconds[50]:.0f} ms, "
              f"99 % {milliseconds[99]:.0f} ms, mean batch size {mean_batch:.2f}")
        self.assertGreater(mean_batch, 1.0)


if __name__ == "__main__":
    unittest.main()
