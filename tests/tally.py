"""Counts what a test runner reported: prints "PASSED FAILED SKIPPED" for one run of one suite.

    tally.py ctest EXIT JUNIT.xml      ctest --output-junit, cmocka's own counts where they are there
    tally.py busted EXIT LOG           busted -o TAP
    tally.py unittest EXIT LOG         python -m unittest -v
    tally.py pytest EXIT JUNIT.xml     pytest --junitxml
    tally.py cargo EXIT LOG             cargo test, of any number of programs
    tally.py fuzz EXIT LOG             scripts/fuzz: a line for each target

A runner that exits with a failure although no test of its report failed (it crashed, or could not
start), or that reports no test at all, counts as one failed test: nothing missing ever passes.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree


def cmocka(text):
    """(passed, failed, skipped) from the output of one cmocka program; zeros when it is none."""
    def total(word):
        return sum(int(n) for n in re.findall(r"^\[  %s\s*\] (\d+) test" % word, text, re.M))
    return total("PASSED"), total("FAILED"), total("SKIPPED")


def ctest(xml):
    passed = failed = skipped = 0
    for case in ElementTree.fromstring(xml).iter("testcase"):
        p, f, s = cmocka(case.findtext("system-out") or "")
        status = case.get("status")
        mark = case.find("skipped")
        if status == "run":
            passed, failed, skipped = passed + max(p, 0 if f or s else 1), failed + f, skipped + s
        elif mark is not None and "SKIP" in (mark.get("message") or ""):
            skipped += 1
        else:
            passed, failed, skipped = passed + p, failed + max(f, 1), skipped + s
    return passed, failed, skipped


def busted(text):
    lines = re.findall(r"^(ok|not ok) \d+ - (# SKIP)?", text, re.M)
    plan = re.findall(r"^1\.\.(\d+)$", text, re.M)
    failed = sum(1 for word, skip in lines if word == "not ok")
    skipped = sum(1 for word, skip in lines if word == "ok" and skip)
    if not plan or sum(map(int, plan)) != len(lines):
        failed += 1  # it stopped half-way
    return len(lines) - skipped - sum(1 for word, _ in lines if word == "not ok"), failed, skipped


def unittests(text):
    passed = failed = skipped = 0
    for ran, end, details in re.findall(r"^Ran (\d+) tests? in [^\n]*\n+(OK|FAILED)([^\n]*)$",
                                        text, re.M):
        def count(word):
            m = re.search(r"\b%s=(\d+)" % word, details)
            return int(m.group(1)) if m else 0
        bad = count("failures") + count("errors") + count("unexpected successes")
        skip = count("skipped") + count("expected failures")
        passed, failed, skipped = passed + max(0, int(ran) - bad - skip), failed + bad, skipped + skip
    return passed, failed, skipped


def pytests(xml):
    passed = failed = skipped = 0
    for case in ElementTree.fromstring(xml).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def cargo(text):
    rows = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", text, re.M)
    passed, failed, skipped = (sum(int(row[i]) for row in rows) for i in range(3))
    return passed, failed, skipped


def fuzz(text):
    rows = re.findall(r"^\w+ +(\d+) +\d+ +\d+ +(\d+)$", text, re.M)
    failed = sum(1 for runs, crashes in rows if int(crashes) or not int(runs))
    return len(rows) - failed, failed, 0


COUNTERS = {"fuzz": fuzz, "cargo": cargo, "ctest": ctest, "busted": busted, "unittest": unittests, "pytest": pytests}


def tally(kind, exit_code, text):
    try:
        passed, failed, skipped = COUNTERS[kind](text)
    except ElementTree.ParseError:
        passed, failed, skipped = 0, 0, 0
    if failed == 0 and (exit_code != 0 or passed + skipped == 0):
        failed = 1
    return passed, failed, skipped


def main(argv):
    kind, exit_code, path = argv
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        text = ""
    print("%d %d %d" % tally(kind, int(exit_code), text))


if __name__ == "__main__":
    main(sys.argv[1:])
