#!/usr/bin/env python3
"""Real input is taken, bad input refused with a code and a reason, the server unharmed."""

import struct
import unittest
import zlib

from harness import (PATIENCE_SECONDS, ServerCase, answer_of, grpc, info_pb, png, scene, seg_pb,
                     types_pb, vocab_pb)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def bomb(width, height):
    """A small file that claims to be a huge picture."""
    whole = png(1, 1, [b"\0\0\0"])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IHDR" + header
    return whole[:8] + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + \
        whole[8 + 25:]


class Input(ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.version = cls.client.add("shop", ["sneaker"])[-1].job.version
        cls.before = cls.answer()
        cls.limits = cls.client.info.GetServerInfo(info_pb.GetServerInfoRequest()).limits

    @classmethod
    def answer(cls):
        return answer_of(cls.client.segment("shop", scene(0), version=cls.version))

    def tearDown(self):
        # Whatever a test sent, the server answers as it did.
        self.assertIsNone(self.server.process.poll(), self.server.log()[-2000:])
        self.assertEqual(self.before, self.answer())

    def segment_fails(self, picture, *words, code=INVALID):
        return self.assert_fails(code, lambda: self.client.segment("shop", picture), *words)

    def add_fails(self, names, *words, code=INVALID, **fields):
        fields.setdefault("vocabulary", "shop")
        request = vocab_pb.AddClassesRequest(
            classes=[vocab_pb.ClassSpec(name=name) for name in names], **fields)
        return self.assert_fails(code, lambda: list(self.client.vocabulary.AddClasses(
            request, timeout=PATIENCE_SECONDS)), *words)

    def test_every_kind_of_png_is_taken(self):
        grey8 = png(70, 50, [bytes(range(70))] * 50, colour_type=0)
        grey16 = png(70, 50, [bytes(range(140))] * 50, colour_type=0, depth=16)
        alpha8 = png(70, 50, [bytes(range(280 - 256)) + bytes(256)] * 50, colour_type=6)
        rgb16 = png(20, 30, [bytes(120)] * 30, depth=16)
        odd = png(3, 171, [bytes(9)] * 171)
        for picture, size in ((grey8, (70, 50)), (grey16, (70, 50)), (alpha8, (70, 50)),
                              (rgb16, (20, 30)), (odd, (3, 171)), (png(1, 1, [b"abc"]), (1, 1))):
            answer = self.client.segment("shop", picture)
            self.assertEqual(size, (answer.label_map.width, answer.label_map.height))

    def test_no_picture(self):
        self.segment_fails(types_pb.Image())
        self.segment_fails(b"")

    def test_not_a_picture(self):
        self.segment_fails(b"this is no picture at all")
        self.segment_fails(b"\xff\xd8\xff\xe0" + b"\0" * 100)
        self.segment_fails(b"GIF89a" + b"\0" * 40)

    def test_truncated_pictures(self):
        whole = scene(0)
        for size in (8, 33, 60, len(whole) // 2, len(whole) - 20):
            self.segment_fails(whole[:size])

    def test_bomb_like_pictures(self):
        for width, height in ((60000, 60000), (2**31 - 1, 2**31 - 1), (0, 10), (10, 0),
                              (self.limits.max_image_side + 1, 1)):
            self.segment_fails(bomb(width, height))

    def test_raw_pictures_of_wrong_size(self):
        def raw(width, height, size):
            return types_pb.Image(raw=types_pb.RawImage(width=width, height=height,
                                                        rgb=bytes(size)))
        for picture in (raw(0, 0, 0), raw(10, 10, 299), raw(10, 10, 301), raw(-1, 10, 30),
                        raw(2**31 - 1, 2**31 - 1, 3)):
            self.segment_fails(picture)

    def test_more_bytes_than_a_message_may_have(self):
        self.assert_fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: self.client.segment(
            "shop", bytes(self.limits.max_message_bytes + 1)))

    def test_bytes_that_are_no_message(self):
        for path in ("SegmentationService/Segment", "VocabularyService/GetJob"):
            with self.assertRaises(grpc.RpcError):
                self.client.raw_unary("/ovdiff.v1." + path, b"\xff\xff\xff\xff\xff")

    def test_class_names(self):
        self.add_fails([""], "classes[0]")
        self.add_fails(["x" * 10000], "200", "10000")
        for name in ("a\nb", "a\0b", "bell\x07", "del\x7f", "c1\x85", "   "):
            self.add_fails([name])
        self.add_fails([])

    def test_class_name_of_invalid_utf8(self):
        name = b"\xff\xfe"
        spec = b"\x0a" + bytes((len(name),)) + name
        request = b"\x0a\x04shop" + b"\x12" + bytes((len(spec),)) + spec
        call = self.client.channel.unary_stream("/ovdiff.v1.VocabularyService/AddClasses")
        with self.assertRaises(grpc.RpcError) as caught:
            list(call(request, timeout=PATIENCE_SECONDS))
        # gRPC refuses it before any code of ours; 1.51's word for that is UNIMPLEMENTED.
        self.assertIn(caught.exception.code(), (INVALID, grpc.StatusCode.INTERNAL,
                                                grpc.StatusCode.UNIMPLEMENTED))

    def test_duplicate_classes(self):
        self.add_fails(["bag", "dress", "bag"], "bag")

    def test_too_many_classes(self):
        count = self.limits.max_classes_per_request + 1
        self.add_fails([f"class {i}" for i in range(count)], str(count - 1))

    def test_vocabulary_names(self):
        for name in ("", "UPPER", "a/b", "../up", "x" * 65, "-a"):
            self.add_fails(["bag"], vocabulary=name)

    def test_options_out_of_range(self):
        for options in ({"num_pictures": 0}, {"num_pictures": 100000}, {"num_steps": 0},
                        {"num_steps": 100000}, {"guidance_scale": float("nan")},
                        {"num_parts": 0}, {"prompt_template": "no placeholder"}):
            self.add_fails(["bag"], options=vocab_pb.BuildOptions(**options))
        for options in ({"window_sizes": [-5]}, {"window_stride": -1}, {"short_side": -1},
                        {"spaces": ["no such space"]}, {"background_threshold": float("nan")}):
            self.assert_fails(INVALID, lambda o=options: self.client.segment(
                "shop", scene(0), options=seg_pb.SegmentOptions(**o)))

    def test_what_is_not_there(self):
        self.assert_fails(NOT_FOUND, lambda: self.client.segment("nowhere", scene(0)), "nowhere")
        self.assert_fails(NOT_FOUND, lambda: self.client.segment("shop", scene(0),
                                                                 classes=["unicorn"]), "unicorn")
        self.assert_fails(NOT_FOUND, lambda: self.client.segment("shop", scene(0), version=999))
        self.assert_fails(NOT_FOUND, lambda: self.client.vocabulary.GetJob(
            vocab_pb.GetJobRequest(job="no-such-job")), "no-such-job")
        self.assert_fails(NOT_FOUND, lambda: self.client.vocabulary.RemoveClasses(
            vocab_pb.RemoveClassesRequest(vocabulary="shop", names=["unicorn"])), "unicorn")

    def test_pages(self):
        for fields in ({"page_size": -1}, {"page_token": "nonsense"}):
            self.assert_fails(INVALID, lambda f=fields: self.client.vocabulary.ListClasses(
                vocab_pb.ListClassesRequest(vocabulary="shop", **f)))

    def test_streams_out_of_order(self):
        frame = seg_pb.StreamSegmentRequest(frame=seg_pb.Frame(
            seq=1, image=types_pb.Image(encoded=scene(0))))
        self.assert_fails(INVALID, lambda: list(self.client.segmentation.StreamSegment(
            iter([frame]), timeout=PATIENCE_SECONDS)))
        self.assert_fails(INVALID, lambda: list(self.client.segmentation.StreamSegment(
            iter([seg_pb.StreamSegmentRequest()]), timeout=PATIENCE_SECONDS)))

    def test_a_deadline_that_cannot_be_met(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.client.segmentation.Segment(seg_pb.SegmentRequest(
                vocabulary="shop", image=types_pb.Image(encoded=scene(0))), timeout=0.001)
        self.assertEqual(grpc.StatusCode.DEADLINE_EXCEEDED, caught.exception.code())

    def test_refusals_carry_their_reason(self):
        error = self.add_fails([""])
        details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
        self.assertIn(b"google.rpc.ErrorInfo", details)
        self.assertIn(b"ovdiff.dev", details)


if __name__ == "__main__":
    unittest.main()
