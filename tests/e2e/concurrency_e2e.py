#!/usr/bin/env python3
"""Many callers at once, while a class is being built: the answers are those given
one at a time, windows of different callers share batches, and nobody waits for
the class to finish."""

import threading
import time
import unittest

from harness import Client, ServerCase, add_request, answer_of, scene, vocab_pb

CALLERS = 8
ROUNDS = 3
PICTURES = [scene(number) for number in range(12)]


class Crowd(ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client.add("crowd", ["sneaker", "bag", "dress"], pictures=3, steps=2)
        cls.alone = [answer_of(cls.client.segment("crowd", picture)) for picture in PICTURES]

    def segment_all(self, index, answers, seconds):
        with Client(self.server.address()) as client:
            for _ in range(ROUNDS):
                for offset in range(len(PICTURES)):
                    number = (offset + index) % len(PICTURES)
                    begin = time.monotonic()
                    answer = answer_of(client.segment("crowd", PICTURES[number]))
                    seconds.append(time.monotonic() - begin)
                    answers.append((number, answer))

    def test_callers_do_not_change_each_others_answers(self):
        # More work than all the calls take, so that it runs beside every one of them.
        build = self.client.vocabulary.AddClasses(add_request("busy", ["coat"], 32, 400))
        job = next(build).job.id
        batches_before, windows_before = self.server.batches()
        answers = [[] for _ in range(CALLERS)]
        seconds = [[] for _ in range(CALLERS)]
        callers = [threading.Thread(target=self.segment_all,
                                    args=(index, answers[index], seconds[index]))
                   for index in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        batches_after, windows_after = self.server.batches()
        state = self.client.vocabulary.GetJob(vocab_pb.GetJobRequest(job=job)).job.state
        self.client.vocabulary.CancelJob(vocab_pb.CancelJobRequest(job=job))

        for own in answers:
            self.assertEqual(ROUNDS * len(PICTURES), len(own))
            for number, answer in own:
                self.assertEqual(self.alone[number], answer, f"scene {number}")
        self.assertEqual(vocab_pb.JOB_STATE_RUNNING, state,
                         "the class was done before the callers were: nothing was proved")
        mean_batch = (windows_after - windows_before) / (batches_after - batches_before)
        slowest = max(max(own) for own in seconds)
        print(f"mean batch size {mean_batch:.2f}; slowest of {CALLERS * ROUNDS * len(PICTURES)} "
              f"calls {slowest:.2f} s")
        self.assertGreater(mean_batch, 1.0)

    def test_equal_jobs_of_two_callers_are_one(self):
        jobs = [None, None]

        def add(index):
            with Client(self.server.address()) as client:
                jobs[index] = client.add("twice", ["shirt"], pictures=3, steps=3)[-1].job

        callers = [threading.Thread(target=add, args=(index,)) for index in range(2)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self.assertEqual(jobs[0].id, jobs[1].id)
        self.assertEqual(jobs[0].version, jobs[1].version)
        self.assertEqual(vocab_pb.JOB_STATE_SUCCEEDED, jobs[0].state)

    def test_jobs_that_run_together_all_land_in_one_vocabulary(self):
        names = ["trousers", "pullover", "sandal"]

        def add(name):
            with Client(self.server.address()) as client:
                client.add("together", [name], pictures=2, steps=2)

        callers = [threading.Thread(target=add, args=(name,)) for name in names]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        listed = self.client.vocabulary.ListClasses(vocab_pb.ListClassesRequest(
            vocabulary="together"))
        self.assertEqual(sorted(names), sorted(row.name for row in listed.classes))
        self.assertEqual(3, len({row.label for row in listed.classes}))


if __name__ == "__main__":
    unittest.main()
