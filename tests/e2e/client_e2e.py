#!/usr/bin/env python3
"""A client in another language, made from the protos alone, does the whole job."""

import queue
import struct
import unittest

from harness import (PATIENCE_SECONDS, ServerCase, add_request, answer_of, grpc, info_pb, read_png,
                     scene, seg_pb, types_pb, vocab_pb)

NAMES = ["sneaker", "bag"]
# Enough that painting outlasts the interval of progress messages (0.2 s) by far.
STEPS = 60
NO_PREFILTER = seg_pb.SegmentOptions(use_prefilter=False)


class WholeJob(ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.progress = cls.client.add("shop", NAMES, pictures=3, steps=STEPS)

    def test_progress_begins_with_the_whole_job_and_ends_with_its_end(self):
        first, last = self.progress[0].job, self.progress[-1]
        self.assertEqual(NAMES, [row.name for row in first.classes])
        self.assertTrue(last.last)
        self.assertFalse(any(message.last for message in self.progress[:-1]))
        self.assertEqual(vocab_pb.JOB_STATE_SUCCEEDED, last.job.state)
        self.assertEqual(NAMES, [row.name for row in last.job.classes])
        for row in last.job.classes:
            self.assertEqual(vocab_pb.CLASS_STAGE_DONE, row.stage)
            self.assertEqual((3, 1.0), (row.num_pictures, row.fraction_done))
            self.assertEqual(vocab_pb.CACHE_HIT_NONE, row.cache_hit)
        stages = {row.stage for message in self.progress for row in message.job.classes}
        self.assertIn(vocab_pb.CLASS_STAGE_PAINTING, stages)

    def test_the_same_request_again_is_the_same_job(self):
        again = self.client.add("shop", NAMES, pictures=3, steps=STEPS)
        self.assertEqual(self.progress[-1].job.id, again[-1].job.id)
        self.assertEqual(vocab_pb.JOB_STATE_SUCCEEDED, again[-1].job.state)
        self.assertEqual(self.progress[-1].job.version, again[-1].job.version)

    def test_another_vocabulary_shares_the_prototypes(self):
        job = self.client.add("shared", NAMES, pictures=3, steps=STEPS)[-1].job
        self.assertEqual({vocab_pb.CACHE_HIT_PROTOTYPES}, {row.cache_hit for row in job.classes})

    def test_classes_are_listed_in_pages(self):
        names, token, pages = [], "", 0
        while pages == 0 or token:
            page = self.client.vocabulary.ListClasses(vocab_pb.ListClassesRequest(
                vocabulary="shop", page_size=1, page_token=token))
            names += [row.name for row in page.classes]
            token, pages = page.next_page_token, pages + 1
            self.assertEqual(2, page.total_size)
        self.assertEqual((NAMES, 2), (names, pages))
        listed = self.client.vocabulary.ListVocabularies(vocab_pb.ListVocabulariesRequest())
        self.assertIn("shop", [row.name for row in listed.vocabularies])

    def test_a_scene_is_labelled(self):
        response = self.client.segment("shop", scene(0))
        label_map = response.label_map
        self.assertEqual((64, 64), (label_map.width, label_map.height))
        labels = struct.unpack(f"<{64 * 64}H", label_map.data)
        table = {row.label: row for row in response.classes}
        self.assertEqual(set(NAMES), {row.name for row in response.classes})
        self.assertLessEqual(set(labels), {0} | set(table))
        for label, row in table.items():
            self.assertEqual(labels.count(label), row.pixel_count)
            self.assertAlmostEqual(row.pixel_count / 4096, row.area)
        areas = [row.area for row in response.classes]
        self.assertEqual(sorted(areas, reverse=True), areas)
        self.assertEqual(64, len(response.fingerprints.encoder))
        self.assertGreater(response.timing.total_seconds, 0)

    def test_png_and_raw_labels_agree_and_the_palette_is_the_tables(self):
        raw = self.client.segment("shop", scene(1))
        file = self.client.segment("shop", scene(1), label_map_format=seg_pb.LABEL_MAP_FORMAT_PNG)
        width, height, depth, colour_type, palette, rows = read_png(file.label_map.data)
        self.assertEqual((64, 64, 8, 3), (width, height, depth, colour_type))
        self.assertEqual(list(struct.unpack(f"<{64 * 64}H", raw.label_map.data)),
                         [value for row in rows for value in row])
        for row in file.classes:
            self.assertEqual(row.colour.to_bytes(3, "big"),
                             palette[3 * row.label:3 * row.label + 3])

    def test_encoded_and_raw_pictures_agree(self):
        # A flat picture, so that no PNG decoder is needed here.
        from harness import png
        rows = [bytes((200, 30, 40)) * 80] * 48
        encoded = self.client.segment("shop", png(80, 48, rows))
        raw = types_pb.Image(raw=types_pb.RawImage(width=80, height=48, rgb=b"".join(rows)))
        self.assertEqual(answer_of(encoded), answer_of(self.client.segment("shop", raw)))

    def test_a_subset_of_classes(self):
        response = self.client.segment("shop", scene(2), classes=["bag"])
        self.assertEqual(["bag"], [row.name for row in response.classes])

    def test_a_pixel_is_explained(self):
        answer = self.client.segment("shop", scene(0), options=NO_PREFILTER)
        width = answer.label_map.width
        labels = struct.unpack(f"<{width * answer.label_map.height}H", answer.label_map.data)
        names = {row.label: row.name for row in answer.classes} | {0: ""}
        for x, y in ((0, 0), (20, 31), (63, 63)):
            request = seg_pb.ExplainRequest(
                vocabulary="shop", image=types_pb.Image(encoded=scene(0)), options=NO_PREFILTER,
                point=seg_pb.Point(x=x, y=y), include_pictures=True)
            response = self.client.segmentation.Explain(request, timeout=PATIENCE_SECONDS)
            self.assertEqual(labels[y * width + x], response.label)
            self.assertEqual(response.label, response.classes[0].label)
            self.assertEqual({"sneaker", "bag", ""}, {row.name for row in response.classes})
            self.assertEqual(names[response.label], response.classes[0].name)
            for row in response.classes:
                spaces = [space.space for space in row.spaces]
                self.assertEqual(["sd", "dino", "clip"], spaces)
                for space in row.spaces:
                    self.assertGreaterEqual(space.score + 1e-5, space.winner.cosine)
                    self.assertGreaterEqual(space.winner.cosine, space.runner_up.cosine)
                    for match in (space.winner, space.runner_up):
                        self.check_match(match, row.name)

    def check_match(self, match, name):
        self.assertIn(match.class_name, NAMES if name == "" else [name])
        self.assertNotEqual(seg_pb.PROTOTYPE_LEVEL_UNSPECIFIED, match.level)
        if match.level == seg_pb.PROTOTYPE_LEVEL_CLASS:
            self.assertEqual((-1, b""), (match.source_picture, match.picture_png))
            return
        self.assertIn(match.source_picture, range(3))
        size = struct.unpack_from(">II", match.picture_png, 16)
        width, height, depth, colour_type, _, rows = read_png(match.mask_png)
        self.assertEqual((size, 0), ((width, height), colour_type))
        # Of 1 or 8 bits: all is inside or outside, and something is inside.
        values = {value for row in rows for value in row}
        self.assertNotEqual({0}, values)
        self.assertTrue(depth == 1 or values <= {0, 255}, values)

    def test_a_class_is_explained_where_it_scores_highest(self):
        answer = self.client.segment("shop", scene(0), options=NO_PREFILTER)
        for row in answer.classes:
            response = self.client.segmentation.Explain(seg_pb.ExplainRequest(
                vocabulary="shop", image=types_pb.Image(encoded=scene(0)), options=NO_PREFILTER,
                class_name=row.name), timeout=PATIENCE_SECONDS)
            explained = next(one for one in response.classes if one.name == row.name)
            self.assertEqual(row.max_score, explained.score)
        self.assert_fails(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: self.client.segmentation.Explain(seg_pb.ExplainRequest(
                vocabulary="shop", image=types_pb.Image(encoded=scene(0)),
                point=seg_pb.Point(x=64, y=0)), timeout=PATIENCE_SECONDS), "64x64")

    def test_classes_alike_are_named_when_they_are_added(self):
        self.client.add("alike", ["sneaker"], pictures=3, steps=STEPS)
        request = add_request("alike", ["trainer"], 3, STEPS, similar_threshold=0.9)
        request.classes[0].prompt = "sneaker"  # The same pictures under another name.
        job = list(self.client.vocabulary.AddClasses(request, timeout=PATIENCE_SECONDS))[-1].job
        similar = [(row.name, round(row.cosine, 4)) for row in job.classes[0].similar]
        self.assertEqual([("sneaker", 1.0)], similar)
        again = self.client.vocabulary.GetJob(vocab_pb.GetJobRequest(job=job.id)).job
        self.assertEqual(job.classes[0].similar, again.classes[0].similar)

    def test_frames_are_streamed(self):
        def requests():
            yield seg_pb.StreamSegmentRequest(config=seg_pb.StreamConfig(
                vocabulary="shop", label_map_format=seg_pb.LABEL_MAP_FORMAT_RAW_U16,
                max_in_flight=2))
            for seq in range(6):
                yield seg_pb.StreamSegmentRequest(frame=seg_pb.Frame(
                    seq=100 + seq, image=types_pb.Image(encoded=scene(seq))))
            yield seg_pb.StreamSegmentRequest(frame=seg_pb.Frame(
                seq=200, image=types_pb.Image(encoded=scene(0)[:100])))
        answers = list(self.client.segmentation.StreamSegment(requests(),
                                                              timeout=PATIENCE_SECONDS))
        self.assertEqual("shop", answers[0].configured.vocabulary)
        self.assertEqual(2, answers[0].configured.max_in_flight)
        results = {answer.result.seq: answer.result for answer in answers[1:]}
        self.assertEqual(set(range(100, 106)) | {200}, set(results))
        for seq in range(6):
            alone = self.client.segment("shop", scene(seq))
            self.assertEqual(answer_of(alone), answer_of(results[100 + seq].segmentation))
        self.assertEqual(grpc.StatusCode.INVALID_ARGUMENT.value[0], results[200].error.code)

    def test_the_vocabulary_may_change_within_a_stream(self):
        self.client.add("later", ["bag"], pictures=3, steps=STEPS)
        waiting = queue.Queue()
        answers = self.client.segmentation.StreamSegment(iter(waiting.get, None),
                                                         timeout=PATIENCE_SECONDS)
        seen = []
        for seq, vocabulary in enumerate(["shop", "later"]):
            waiting.put(seg_pb.StreamSegmentRequest(config=seg_pb.StreamConfig(
                vocabulary=vocabulary)))
            waiting.put(seg_pb.StreamSegmentRequest(frame=seg_pb.Frame(
                seq=seq, image=types_pb.Image(encoded=scene(seq)))))
            self.assertEqual(vocabulary, next(answers).configured.vocabulary)
            seen.append(next(answers).result.segmentation.vocabulary)
        waiting.put(None)
        self.assertEqual([], list(answers))
        self.assertEqual(["shop", "later"], seen)

    def test_a_class_goes_and_an_older_version_still_has_it(self):
        version = self.client.add("changing", NAMES, pictures=3, steps=STEPS)[-1].job.version
        before = self.client.segment("changing", scene(3))
        removed = self.client.vocabulary.RemoveClasses(vocab_pb.RemoveClassesRequest(
            vocabulary="changing", names=["bag"]))
        self.assertGreater(removed.version, version)
        after = self.client.segment("changing", scene(3))
        self.assertEqual(["sneaker"], [row.name for row in after.classes])
        pinned = self.client.segment("changing", scene(3), version=version)
        self.assertEqual(answer_of(before), answer_of(pinned))

    def test_a_job_goes_on_when_its_caller_hangs_up(self):
        call = self.client.vocabulary.AddClasses(add_request("hangup", ["coat"], 4, 4))
        job = next(call).job.id
        call.cancel()
        state = vocab_pb.JOB_STATE_RUNNING
        request = vocab_pb.GetJobRequest(job=job)
        while state in (vocab_pb.JOB_STATE_QUEUED, vocab_pb.JOB_STATE_RUNNING):
            state = self.client.vocabulary.GetJob(request).job.state
        self.assertEqual(vocab_pb.JOB_STATE_SUCCEEDED, state)
        self.assertEqual(1, len(self.client.segment("hangup", scene(0)).classes))

    def test_a_job_is_cancelled(self):
        call = self.client.vocabulary.AddClasses(add_request("stopped", ["dress"], 32, 200))
        job = next(call).job.id
        self.client.vocabulary.CancelJob(vocab_pb.CancelJobRequest(job=job))
        last = list(call)[-1]
        self.assertEqual(vocab_pb.JOB_STATE_CANCELLED, last.job.state)
        self.assertEqual([vocab_pb.CLASS_STAGE_CANCELLED], [row.stage for row in last.job.classes])

    def test_validate_only_starts_nothing(self):
        messages = self.client.add("unmade", ["shirt"], validate_only=True)
        self.assertEqual([vocab_pb.JOB_STATE_VALIDATED], [row.job.state for row in messages])
        self.assert_fails(grpc.StatusCode.NOT_FOUND,
                          lambda: self.client.segment("unmade", scene(0)), "unmade")

    def test_info_names_limits_and_defaults(self):
        info = self.client.info.GetServerInfo(info_pb.GetServerInfoRequest())
        self.assertEqual("cpu", info.device)
        self.assertEqual((32, 30, 8.0), (info.build_options.num_pictures,
                                         info.build_options.num_steps,
                                         info.build_options.guidance_scale))
        self.assertEqual(["clip", "dino", "sd"], sorted(info.bundle.spaces))
        for name in ("max_message_bytes", "max_image_pixels", "max_classes_per_request"):
            self.assertGreater(getattr(info.limits, name), 0, name)

    def test_health_and_reflection_are_there(self):
        # HealthCheckResponse{status: SERVING} is field 1, varint 1.
        self.assertEqual(b"\x08\x01", self.client.raw_unary("/grpc.health.v1.Health/Check"))
        service = b"ovdiff.v1.SegmentationService"
        request = b"\x0a" + bytes((len(service),)) + service
        self.assertEqual(b"\x08\x01",
                         self.client.raw_unary("/grpc.health.v1.Health/Check", request))
        # ServerReflectionRequest{list_services: "*"} is field 7.
        reflect = self.client.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        answer = next(reflect(iter([b"\x3a\x01*"]), timeout=PATIENCE_SECONDS))
        for name in (b"ovdiff.v1.VocabularyService", b"ovdiff.v1.SegmentationService",
                     b"ovdiff.v1.StoreService", b"ovdiff.v1.InfoService", b"grpc.health.v1.Health"):
            self.assertIn(name, answer)

    def test_admin_port(self):
        self.assertEqual(200, self.server.get("/livez")[0])
        self.assertEqual(200, self.server.get("/readyz")[0])
        metrics = self.server.metrics()
        started = [name for name in metrics if name.startswith("grpc_server_started_total{")]
        self.assertTrue(any("AddClasses" in name for name in started), started)
        self.assertTrue(any(name.startswith("grpc_server_handling_seconds_bucket{")
                            for name in metrics))


if __name__ == "__main__":
    unittest.main()
