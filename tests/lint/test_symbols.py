"""Holds the symbols of the objects in LSIO_BUILD_DIR (or build-test) against the table of folders: files of core/,
backends/ and lua/ that need each other, and arrows that run back. Needs a build: the suite `symbols`.
"""
import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import layers  # noqa: E402
import lint  # noqa: E402
import symbols  # noqa: E402
import table  # noqa: E402

BUILD = os.environ.get("LSIO_BUILD_DIR") or os.path.join(ROOT, "build-test")


class TheObjects(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.tree = lint.Tree(ROOT)
        cls.linked = symbols.Linked(cls.tree, BUILD)
        cls.known = cls.tree.text.get(lint.KNOWN, "")

    def test_each_source_has_an_object(self):
        self.assertGreater(len(self.linked.files), 0, "no objects in %s: build first" % BUILD)
        self.assertEqual([], self.linked.missing(), "without an object in %s: build first" % BUILD)

    def test_each_object_has_symbols(self):
        """Else nm could not read them, and nothing would ever fail."""
        self.assertEqual([], sorted(self.linked.empty()))

    def test_circles(self):
        self.assertGreater(len(self.linked.files), 0, "no objects in %s: build first" % BUILD)
        listed = [set(entry.split()) for entry in layers.known(self.known, "circle")]
        self.assertEqual([], symbols.compare(self.linked.named_circles(), listed),
                         "python3 tests/lint/symbols.py says which symbols close them")

    def test_arrows_that_run_back(self):
        self.assertGreater(len(self.linked.files), 0, "no objects in %s: build first" % BUILD)
        listed = set(layers.known(self.known, "symbol"))
        new = ["%s: %s" % (arrow, " ".join(sorted(used))) for arrow, used in sorted(self.linked.back.items())
               if arrow not in listed]
        gone = ["known.txt: 'symbol %s' is no longer true: remove the line" % arrow
                for arrow in sorted(listed - set(self.linked.back))]
        self.assertEqual([], new + gone, "arrows against tests/lint/table.py")


class TheGraph(unittest.TestCase):
    NM = ("/dev/null:\n\nd/core/a.c.o:\nlsi_a T 0 1f\nlsi_b U         \nmemcpy U         \n\n"
          "d/core/b.c.o:\nlsi_b D 8 10\nlsi_t R 0 4\nlsi_a U\nlsi_weak w\n\nd/core/c.c.o:\nlsi_weak W 0 1\nlsi_t U\n")

    def test_nm_is_read(self):
        parsed = symbols.parse(self.NM)
        self.assertEqual(({"lsi_a"}, {"lsi_b", "memcpy"}), parsed["d/core/a.c.o"])
        self.assertEqual(({"lsi_b", "lsi_t"}, {"lsi_a", "lsi_weak"}), parsed["d/core/b.c.o"])
        self.assertEqual({"a": {"b": {"lsi_b"}}, "b": {"a": {"lsi_a"}, "c": {"lsi_weak"}}, "c": {"b": {"lsi_t"}}},
                         symbols.graph({p[7]: both for p, both in parsed.items() if "core" in p}))

    def circles(self, text):
        """Circles of "ab bc ca": an arrow a pair."""
        arrows = {c: {} for c in text.replace(" ", "")}
        for pair in text.split():
            arrows[pair[0]][pair[-1]] = {"s"}
        return sorted("".join(sorted(c)) for c in symbols.circles(arrows))

    def test_circles_are_found(self):
        self.assertEqual([], self.circles("ab bc ac cd"))
        self.assertEqual(["ab"], self.circles("ab ba bc cd"))
        self.assertEqual(["abc", "de"], self.circles("ab bc ca cd de ed ef"))
        self.assertEqual(["abcd"], self.circles("ab ba bc cb cd dc"))
        self.assertEqual(["bcd"], self.circles("ab bc cd db de ae"))
        self.assertEqual([], self.circles("aa"))

    def test_a_circle_that_is_not_listed(self):
        self.assertEqual([], symbols.compare([{"a", "b"}], [{"a", "b"}]))
        self.assertEqual(["files that need each other: a b"], symbols.compare([{"b", "a"}], []))
        found = symbols.compare([{"a", "b", "c"}], [{"a", "b"}])
        self.assertEqual(["files that need each other: a b c",
                          "known.txt: 'circle a b' is no longer true: remove the line"], found)

    def test_a_listed_circle_that_shrank_or_went(self):
        self.assertEqual(["known.txt: 'circle a b c' is no longer true: write instead: circle a b"],
                         symbols.compare([{"a", "b"}], [{"a", "b", "c"}]))
        self.assertEqual(["known.txt: 'circle a b c d' is no longer true: write instead: circle a b; circle c d"],
                         symbols.compare([{"a", "b"}, {"c", "d"}], [{"a", "b", "c", "d"}]))
        self.assertEqual(["known.txt: 'circle a b' is no longer true: remove the line"],
                         symbols.compare([], [{"a", "b"}]))

    def test_equal_base_names_are_told_apart(self):
        self.assertEqual({"x/m.c": "x/m", "y/m.c": "y/m", "x/n.c": "n"},
                         symbols.names(["x/m.c", "y/m.c", "x/n.c"]))

    def test_arrows_against_the_table(self):
        files = ["core/engine/read/a.c", "core/engine/loop/b.c", "core/seams/os.h", "backends/linux/o.c",
                 "core/plan/p.c", "core/seams/model.c", "core/seams/model.h"]
        where = layers.Layers(table, files)

        def back(source, target, declared=None):
            return list(symbols.back_arrows({source: {target: {"lsi_s"}}}, where, declared or {}))
        a, b, _, o, p, model, _ = files
        self.assertEqual([], back(b, a))
        self.assertEqual(["%s %s" % (a, b)], back(a, b))
        self.assertEqual(["%s %s" % (a, o)], back(a, o))
        self.assertEqual([], back(a, o, {"lsi_s": "core/seams/os.h"}))
        self.assertEqual(["%s %s" % (p, o)], back(p, o, {"lsi_s": "core/seams/os.h"}))
        self.assertEqual([], back(p, model))

    def test_seams_declare(self):
        with tempfile.TemporaryDirectory() as root:
            for name, text in (("core/seams/os.h", "int lsi_os_x(void); /* lsi_os_y */\n"),
                               ("core/job/spec.h", "int lsi_spec(void);\n")):
                os.makedirs(os.path.join(root, os.path.dirname(name)))
                with open(os.path.join(root, name), "w") as f:
                    f.write(text)
            self.assertEqual({"lsi_os_x": "core/seams/os.h"}, symbols.declarations(lint.Tree(root)))

    def test_objects_are_found_before_and_after_a_move(self):
        with tempfile.TemporaryDirectory() as build:
            for path in ("lsio_objects.dir/core/a.c.o", "lsio_objects.dir/core/engine/state/a.c.o",
                         "lsio_kernels_v2.dir/core/kernels/k.c.o", "lsio_kernels_v3.dir/core/kernels/k.c.o",
                         "lsio_objects.dir/lsio_embedded.c.o"):
                path = os.path.join(build, "CMakeFiles", path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w"):
                    pass
            found = symbols.objects(build, {"core/engine/state/a.c", "core/kernels/k.c", "core/b.c"})
            self.assertEqual({"core/engine/state/a.c": 1, "core/kernels/k.c": 2},
                             {source: len(paths) for source, paths in found.items()})

    def test_a_folder_without_a_build(self):
        with tempfile.TemporaryDirectory() as build:
            linked = symbols.Linked(lint.Tree(ROOT), build)
        self.assertEqual({}, linked.files)
        self.assertGreater(len(linked.missing()), 50)
        self.assertEqual(({}, []), (linked.arrows, linked.circles))


if __name__ == "__main__":
    unittest.main()
