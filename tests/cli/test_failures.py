"""Steps that fail under on_error = "skip": what stands on stderr at the end, and while the job runs."""
import json
import os
import unittest

from support import RunnerTest

# Step i is file i. Of each eight one does not decode, one is refused by the transform.
JOB = """local lsio = require "lsio"
return lsio.job {
  source = lsio.files("d/*.bin", { whole = true }), type = "u32", on_error = "skip", codec = "lz4",
  transform = function(chunk) if chunk.data[0] % 8 == 1 then error("bad\\nweather") end end,
}
"""
REMEDY = ("corrupt: the data is damaged or not complete, or its chunks are not what was\n"
          "    written as one\n")


class FailureTest(RunnerTest):
    def files(self, n):
        """An lz4 frame of one stored block and no checksums, or a damaged one."""
        os.mkdir(self.path("d"))
        for i in range(n):
            frame = bytes([4, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82]) + (4 | 1 << 31).to_bytes(4, "little")
            frame += i.to_bytes(4, "little") + bytes(4)
            with open(self.path("d/%04d.bin" % i), "wb") as f:
                f.write(frame[:-9] if i % 8 == 0 else frame)

    def shown(self, err):
        """What stands behind the sentence of the summary that counts."""
        return err.split("left out", 1)[1].split("\n", 1)[1]


class Failures(FailureTest):
    def test_at_a_glance(self):
        self.files(160)
        lines = "".join(
            "d/%04d.bin: step %d: %s\n" % (i, i, "%s" if i % 8 == 0 else "job.lua:4: bad weather")
            for k in range(0, 40, 8) for i in (k, k + 1))
        self.write("job.lua", JOB)
        for workers in (1, 4):
            r = self.expect(1, "-j%d" % workers, "job.lua")
            self.assertIn("\n40 steps failed and were left out (20 transform, 20 corrupt)\n", r.err)
            reason = self.shown(r.err).split("\n", 1)[0].split("step 0: ")[1]
            self.assertEqual(self.shown(r.err), lines % ((reason,) * 5) +
                             "30 more (15 transform, 15 corrupt)\n" + REMEDY +
                             "lsio-lua: --errors=FILE lists them all\n")
            self.assertLessEqual(max(map(len, r.err.splitlines())), 80)
        # Without a summary they stand there all the same; quietly only their number.
        r = self.expect(1, "--progress=never", "job.lua")
        self.assertTrue(r.err.startswith("lsio-lua: 40 steps failed and were left out\nd/0000.bin: step 0: "), r.err)
        self.assertEqual(self.expect(1, "-q", "job.lua").err, "lsio-lua: 40 steps failed and were left out\n")

    def test_few(self):
        self.files(2)
        self.write("job.lua", JOB)
        said = self.shown(self.expect(1, "job.lua").err)
        self.assertRegex(said, r"\Ad/0000.bin: step 0: [^\n]*\nd/0001.bin: step 1: job.lua:4: bad weather\ncorrupt: ")
        self.assertNotIn("more", said)
        self.assertNotIn("--errors", said)
        self.assertNotIn("--on-error", said)  # it is what has been done

    def test_a_file_of_errors_has_them_all(self):
        self.files(160)
        self.write("job.lua", JOB)
        told = "lsio-lua: e.jsonl has a line for each of the 40 steps that failed\n"
        r = self.expect(1, "--errors=e.jsonl", "--json=s.json", "job.lua")
        self.assertEqual(self.shown(r.err), told)
        for word in ("0.bin", "weather", "damaged"):
            self.assertNotIn(word, r.err)
        with open(self.path("e.jsonl")) as f:
            self.assertEqual(sorted(json.loads(line)["step"] for line in f),
                             [i for i in range(160) if i % 8 < 2])
        self.assertEqual([e["step"] for e in self.summary()["errors"]], [i for i in range(160) if i % 8 < 2])
        r = self.expect(1, "--errors=e.jsonl", "-q", "job.lua")
        self.assertEqual(r.err, "lsio-lua: 40 steps failed and were left out\n" + told)

    def test_kept_are_the_first(self):
        """Whichever came first: 100 of 400, by their steps."""
        self.files(3200)
        self.write("job.lua", JOB.replace("% 8 == 1", "% 8 == 9"))
        self.expect(1, "-j4", "--json=s.json", "job.lua")
        self.assertEqual([e["step"] for e in self.summary()["errors"]], list(range(0, 800, 8)))
        self.assertEqual(self.summary()["error_count"], 400)


class ErrorsFile(FailureTest):
    def test_what_cannot_be_listed_is_shown(self):
        """Said once, with the reason; the failures are then not lost."""
        self.files(24)
        self.write("job.lua", JOB)
        plain = self.expect(1, "-j1", "job.lua").err
        r = self.expect(6, "-j1", "--errors=/dev/full", "job.lua")
        said = "lsio-lua: --errors=/dev/full could not be written: No space left on device\n"
        self.assertEqual(self.shown(r.err), said + self.shown(plain))
        self.assertNotIn("has a line for each", r.err)
        self.assertEqual(self.expect(6, "-q", "--errors=/dev/full", "job.lua").err,
                         "lsio-lua: 6 steps failed and were left out\n" + said)
        r = self.expect(8, "-j1", "--on-error=fail", "--errors=/dev/full", "job.lua")
        self.assertEqual(r.err.count("--errors=/dev/full"), 1)
        self.assertTrue(r.err.endswith(said), r)

    def test_minus_is_standard_output(self):
        self.files(24)
        self.write("job.lua", JOB.replace("transform =", "done = function() print '{}' end, transform ="))
        for args, env in ((["--errors=-"], {}), (["--errors", "-"], {}), ([], {"LSIO_ERRORS": "-"})):
            r = self.expect(1, "-j1", *args, "job.lua", env=env)
            lines = [json.loads(line) for line in r.out.splitlines()]
            self.assertEqual(lines[-1], {})
            self.assertEqual(sorted(e["step"] for e in lines[:-1]), [0, 1, 8, 9, 16, 17])
            self.assertIn("lsio-lua: standard output has a line for each of the 6 steps that failed\n", r.err)
        r = self.expect(1, "--errors=-", "--json=-", "job.lua")
        lines = r.out.splitlines()
        self.assertEqual([json.loads(line).get("code", "") for line in lines[:7]].count(""), 1)
        self.assertEqual(json.loads("\n".join(lines[7:]))["error_count"], 6)
        with open("/dev/full", "w") as full:
            r = self.expect(6, "-j1", "--errors=-", "--on-error=skip", "-e", JOB, stdout=full)
        self.assertIn("\nd/0001.bin: step 1: -e:4: bad weather\n", r.err)
        self.assertEqual(r.err.count("No space left on device"), 1)
        self.assertEqual(self.left(), ["d", "job.lua"])
        self.assertIn("- is stdout", self.expect(0, "--help").out)

    def test_a_trace_is_a_file(self):
        self.write("job.lua", JOB)
        for args, origin in ((["--trace=-"], "--trace"), (["--trace", "-"], "--trace")):
            r = self.expect(2, *args, "job.lua")
            self.assertIn("%s takes the name of a file" % origin, r.err)
        r = self.expect(2, "job.lua", env={"LSIO_TRACE": "-"})
        self.assertIn("LSIO_TRACE takes the name of a file", r.err)
        self.assertEqual(self.left(), ["job.lua"])


if __name__ == "__main__":
    unittest.main()
