"""The counts that scripts/test prints can be believed."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tally import tally  # noqa: E402


def junit(*cases):
    return "<testsuite>%s</testsuite>" % "".join(cases)


def case(status, out="", inner=""):
    return '<testcase status="%s">%s<system-out>%s</system-out></testcase>' % (status, inner, out)


CMOCKA = ("[==========] Running 3 test(s).\n[ RUN      ] a\n[       OK ] a\n[==========] 3 test(s) run.\n"
          "[  PASSED  ] %d test(s).\n[  FAILED  ] %d test(s), listed below:\n")


class Tally(unittest.TestCase):
    def test_ctest_counts_cmocka_tests(self):
        xml = junit(case("run", CMOCKA % (3, 0)), case("fail", CMOCKA % (2, 1)), case("run", "plain"))
        self.assertEqual((6, 1, 0), tally("ctest", 8, xml))

    def test_ctest_counts_cmocka_skips(self):
        xml = junit(case("run", "[  PASSED  ] 2 test(s).\n[  SKIPPED ] 1 test(s), listed below:\n"))
        self.assertEqual((2, 0, 1), tally("ctest", 0, xml))

    def test_ctest_program_that_crashed(self):
        self.assertEqual((0, 1, 0), tally("ctest", 8, junit(case("fail", "Segmentation fault"))))

    def test_ctest_program_that_crashed_between_groups(self):
        self.assertEqual((3, 1, 0), tally("ctest", 8, junit(case("fail", CMOCKA % (3, 0)))))

    def test_ctest_program_that_was_skipped_or_is_gone(self):
        skip = case("notrun", "", '<skipped message="SKIP_RETURN_CODE=77"/>')
        gone = case("notrun", "", '<skipped message="Unable to find executable"/>')
        self.assertEqual((0, 1, 1), tally("ctest", 8, junit(skip, gone)))

    def test_busted(self):
        text = "ok 1 - a\nnot ok 2 - b\n# x\nok 3 - # SKIP c\nok 4 - d\n1..4\n"
        self.assertEqual((2, 1, 1), tally("busted", 1, text))

    def test_busted_that_stopped_half_way(self):
        self.assertEqual((1, 1, 0), tally("busted", 139, "ok 1 - a\n"))

    def test_unittest(self):
        text = "x ... ok\n\nRan 12 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=3)\n"
        self.assertEqual((6, 3, 3), tally("unittest", 1, text))
        self.assertEqual((1, 0, 0), tally("unittest", 0, "Ran 1 test in 0.000s\n\nOK\n"))

    def test_pytest(self):
        xml = "<testsuites><testsuite>%s</testsuite></testsuites>" % "".join(
            "<testcase>%s</testcase>" % inner for inner in ("", "<failure/>", "<error/>", "<skipped/>", ""))
        self.assertEqual((2, 2, 1), tally("pytest", 1, xml))
        self.assertEqual((0, 1, 0), tally("pytest", 2, "<testsuites><testsuite/></testsuites>"))
        self.assertEqual((0, 1, 0), tally("pytest", 139, ""))

    def test_cargo(self):
        row = "test result: %s. %d passed; %d failed; %d ignored; 0 measured; 0 filtered out; finished in 0.1s\n"
        text = row % ("ok", 5, 0, 1) + row % ("ok", 0, 0, 0)
        self.assertEqual((5, 0, 1), tally("cargo", 0, text))
        self.assertEqual((7, 1, 1), tally("cargo", 101, text + row % ("FAILED", 2, 1, 0)))
        self.assertEqual((5, 1, 1), tally("cargo", 101, text))  # a program that crashed, or clippy
        self.assertEqual((0, 1, 0), tally("cargo", 101, "error: could not compile `lsio` (lib)\n"))

    def test_fuzz(self):
        text = "target   runs edges inputs crashes\ncsv      9000    80     12       0\n"
        self.assertEqual((1, 0, 0), tally("fuzz", 0, text))
        self.assertEqual((1, 1, 0), tally("fuzz", 1, text + "npy      1    80     12       2\n"))
        self.assertEqual((1, 1, 0), tally("fuzz", 0, text + "npy      0     0      0       0\n"))
        self.assertEqual((0, 1, 0), tally("fuzz", 1, "error: the fuzz targets do not build\n"))

    def test_nothing_ran(self):
        self.assertEqual((0, 1, 0), tally("unittest", 0, "Ran 0 tests in 0.0s\n\nOK\n"))
        self.assertEqual((0, 1, 0), tally("ctest", 0, junit()))
        self.assertEqual((0, 1, 0), tally("ctest", 0, ""))
        self.assertEqual((0, 1, 0), tally("busted", 0, "1..0\n"))
        self.assertEqual((0, 1, 0), tally("busted", 0, ""))

    def test_a_runner_that_failed_without_a_failed_test(self):
        self.assertEqual((2, 1, 0), tally("unittest", 1, "Ran 2 tests in 0.0s\n\nOK\n"))


if __name__ == "__main__":
    unittest.main()
