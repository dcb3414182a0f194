"""Runs each rule of lint.py on this tree, and shows for each rule that it can fail."""
import os
import re
import sys
import tempfile
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import lint  # noqa: E402
import table  # noqa: E402


class TheTree(unittest.TestCase):
    """One test a rule, so that the count says which rule is broken."""
    maxDiff = None


def add_rule(check):
    def test(self):
        found = lint.problems(ROOT, [check])
        self.assertEqual([], [str(p) for p in found])
    setattr(TheTree, "test_" + check.__name__[len("check_"):], test)


for rule in lint.CHECKS:
    add_rule(rule)


def small_table():
    """A table of three rows, and the rest as it is."""
    values = {n: v for n, v in vars(table).items() if n.isupper()}
    values.update(COMING=set(), FOLDERS={
        "core/ground": ("", "C"), "core/plan": ("core/ground", "C"), "core/job": ("core/plan", "C")})
    return types.SimpleNamespace(**values)


SMALL = {"core/ground/a.h": "", "core/plan/b.h": "", "core/job/c.h": ""}  # one file in each of its rows
KNOWN = lint.KNOWN


class TheLint(unittest.TestCase):
    """Each small tree breaks one rule, in one place."""

    def lint(self, files, check, table=table):
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                path = os.path.join(root, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as f:
                    f.write(text)
            return lint.problems(root, [check], table)

    def assert_found(self, files, check, pattern, table=table):
        found = [str(p) for p in self.lint(files, check, table)]
        self.assertEqual(1, len(found), found)
        self.assertRegex(found[0], pattern)

    def assert_clean(self, files, check, table=table):
        self.assertEqual([], [str(p) for p in self.lint(files, check, table)])

    def test_a_file_in_no_folder_of_the_table(self):
        small = small_table()
        self.assert_clean(SMALL, lint.check_folders, small)
        for path in ("core/x.c", "core/engine/x.c", "lua/x.h", "backends/x/y.c"):
            self.assert_found(dict(SMALL, **{path: ""}), lint.check_folders, path + ".*no folder", small)

    def test_a_row_without_a_file(self):
        less = {n: t for n, t in SMALL.items() if "job" not in n}
        small = small_table()
        self.assert_found(less, lint.check_folders, "row core/job matches no file", small)
        small.COMING = {"core/job"}
        self.assert_clean(less, lint.check_folders, small)
        self.assert_found(SMALL, lint.check_folders, "core/job has files now", small)

    def test_a_row_that_sees_nothing_there(self):
        small = small_table()
        small.FOLDERS["core/job"] = ("core/plan core/gone", "C")
        self.assert_found(SMALL, lint.check_folders, "core/job sees core/gone, which is no row", small)
        small.FOLDERS["core/job"] = ("core/plan/b.h", "C")
        self.assert_clean(SMALL, lint.check_folders, small)

    def test_a_table_that_runs_in_a_circle(self):
        small = small_table()
        small.FOLDERS["core/plan"] = ("core/job", "C")
        found = self.lint(SMALL, lint.check_folders, small)
        self.assertRegex(" ".join(map(str, found)), "core/job sees itself through others")

    def test_lists_that_speak_of_nothing(self):
        small = small_table()
        for line in ("arrow a b", "include"):
            self.assert_found(dict(SMALL, **{KNOWN: line + "\n"}), lint.check_folders, "no rule reads", small)

    def test_an_include_against_the_table(self):
        files = dict(SMALL, **{"core/plan/b.h": '#include "ground/a.h"\n', "core/job/c.h": '#include "ground/a.h"\n'})
        self.assert_clean(files, lint.check_includes, small_table())
        files["core/plan/b.h"] = '\n#include "job/c.h"\n'
        self.assert_found(files, lint.check_includes, "core/plan/b.h:2: .*core/plan sees core/ground, not core/job",
                          small_table())

    def test_a_row_sees_what_its_rows_see_and_itself(self):
        files = dict(SMALL, **{"core/job/d.c": '#include "job/c.h"\n#include "plan/b.h"\n#include "ground/a.h"\n'})
        self.assert_clean(files, lint.check_includes, small_table())
        small = small_table()
        small.FOLDERS["core/plan"] = ("", "C")
        self.assert_found(files, lint.check_includes, "core/job/d.c:3.*not core/ground", small)

    def test_one_file_of_a_folder_and_what_it_includes(self):
        files = {"core/ground/a.h": "", "core/ground/os.h": "", "core/plan/b.c": '#include "ground/a.h"\n'}
        small = small_table()
        small.FOLDERS["core/plan"] = ("core/ground/a.h", "C")
        self.assert_clean(files, lint.check_includes, small)
        self.assert_found(dict(files, **{"core/ground/a.h": '#include "ground/os.h"\n'}), lint.check_includes,
                          "core/plan reaches core/ground/os.h .core/plan/b.c -> core/ground/a.h.", small)
        files["core/plan/b.c"] = '#include "ground/os.h"\n'
        self.assert_found(files, lint.check_includes, "core/plan sees core/ground/a.h, not core/ground", small)

    def test_known_arrows_only_go(self):
        files = dict(SMALL, **{"core/plan/b.h": '#include "job/c.h"\n',
                               KNOWN: "include core/plan/b.h core/job/c.h\n"})
        self.assert_clean(files, lint.check_includes, small_table())
        files["core/plan/b.h"] = ""
        self.assert_found(files, lint.check_includes, "known.txt:1.*no longer true: remove the line", small_table())

    def test_includes_are_written_from_the_top_folder(self):
        small = small_table()
        files = dict(SMALL, **{"core/job/d.c": '#include "job/c.h"\n'})
        self.assert_clean(files, lint.check_includes, small)
        for name in ("c.h", "../job/c.h", "core/job/c.h"):
            files["core/job/d.c"] = '#include "%s"\n' % name
            pattern = 'write it from the top folder, "job/c.h"' if "core" not in name else "no such file"
            self.assert_found(files, lint.check_includes, pattern, small)

    def test_core_takes_no_os_header(self):
        self.assert_found({"core/job/a.c": "#include <stdint.h>\n#include <unistd.h>\n"},
                          lint.check_includes, r"core/job/a.c:2: .*unistd.h")

    def test_core_takes_no_threads_and_no_clock(self):
        for header in ("pthread.h", "threads.h", "time.h", "signal.h", "sys/mman.h"):
            self.assert_found({"core/plan/a.c": "#include <%s>\n" % header}, lint.check_includes, header)

    def test_headers_of_libraries_stay_in_their_folders(self):
        for header, folder, others in (
                ("lua.h", "lua/host", ("core/job", "backends/linux", "lua/runner", "bindings/c")),
                ("immintrin.h", "core/kernels", ("core/codec", "core/ground", "lua/host")),
                ("zstd.h", "core/codec", ("core/lists", "lua/host", "core/engine/step")),
                ("openssl/evp.h", "core/codec", ("core/lists", "lua/host")),
                ("jansson.h", "core/job", ("core/engine/loop", "backends/linux", "lua/host")),
                ("liburing.h", "backends/linux", ("backends", "backends/test", "core/api", "lua/runner")),
                ("curl/curl.h", "backends/http", ("backends/linux", "core/api"))):
            source = "#include <%s>\n" % header
            self.assert_clean({folder + "/a.c": source}, lint.check_includes)
            for other in others:
                self.assert_found({other + "/a.c": source}, lint.check_includes, re.escape(header))

    def test_test_backends_take_no_os_header(self):
        self.assert_clean({"backends/linux/a.c": "#include <fcntl.h>\n"}, lint.check_includes)
        self.assert_found({"backends/test/a.c": "#include <fcntl.h>\n"}, lint.check_includes, "fcntl.h")
        self.assert_found({"lua/host/a.c": "#include <fcntl.h>\n"}, lint.check_includes, "fcntl.h")

    def test_who_never_includes_whom(self):
        for folder, target in (("core/job", "backends/b.h"), ("core/api", "lua/host/b.h"),
                               ("backends/linux", "core/engine/state/b.h"), ("backends/linux", "lua/host/b.h"),
                               ("backends/test", "core/plan/b.h"), ("backends/test", "backends/linux/b.h"),
                               ("lua/host", "backends/b.h"), ("lua/host", "lua/runner/b.h"),
                               ("lua/host", "core/engine/state/b.h"), ("lua/host", "core/api/b.h"),
                               ("core/plan", "core/job/b.h"), ("core/plan", "core/seams/os.h"),
                               ("core/engine/read", "core/engine/step/b.h"), ("core/engine/loop", "core/api/b.h"),
                               ("core/engine/state", "core/engine/loop/b.h"), ("core/sink", "core/engine/state/b.h"),
                               ("lua/runner", "core/ground/err.h"), ("bindings/c", "core/ground/err.h")):
            up = "../" * (folder.count("/") + 1)
            self.assert_found({folder + "/x.c": '#include "%s"\n' % (up + target), target: ""},
                              lint.check_includes, "sees .*, not " + re.escape(os.path.dirname(target)))

    def test_runner_and_bindings_see_the_public_header(self):
        for folder in ("lua/runner", "bindings/c"):
            self.assert_clean({folder + "/x.c": '#include "lsio.h"\n#include <poll.h>\n', "core/lsio.h": ""},
                              lint.check_includes)

    def test_an_include_of_nothing(self):
        self.assert_found({"core/job/a.c": '#include "gone.h"\n'}, lint.check_includes, "no such file")

    def test_lua_module_requires_something_else(self):
        self.assert_clean({"lua/lsio/a.lua": 'require "ffi" require("lsio.b")\n'},
                          lint.check_lua_requires)
        self.assert_found({"lua/lsio/a.lua": 'local x = require "socket"\n'},
                          lint.check_lua_requires, "socket")

    def test_long_file(self):
        self.assert_found({"core/a.c": "\n" * 501}, lint.check_lengths, "501 lines, at most 500")

    def test_long_function(self):
        body = "static int f(int a,\n             int b) {\n" + "  a++;\n" * 80 + "  return a;\n}\n"
        self.assert_found({"core/a.c": body}, lint.check_lengths, r"core/a.c:2: .*f has 83 lines")

    def test_functions_are_found(self):
        code = ('extern "C" {\n#define M(x) { \\\n  x }\nstruct s { int a; };\n'
                "int one(void) { return 1; }\nvoid two(int (*f)(void)) {\n  if (f) {\n  }\n}\n}\n")
        self.assertEqual([("one", 5, 5), ("two", 6, 9)], lint.functions(lint.strip_c(code)))

    def test_fields_are_counted(self):
        code = ("struct a { int x, *y; char z[2][3]; unsigned bit : 3; int (*call)(int p, int q); };\n"
                "typedef struct { struct a one; union { int b; struct { int c, d; }; } two; /* e; */\n"
                "#define NOT 1;\n  enum { F, G } h; } named;\nstruct a f(struct a *p) { return *p; }\n"
                "static const struct a *t = {0};\n")
        self.assertEqual([("a", 1, 5), ("named", 2, 5)], list(lint.structs(lint.strip_c(code))))

    def test_large_struct(self):
        def struct(n):
            return "struct s {\n" + "  int a;\n" * n + "};\n"
        self.assert_clean({"core/a.h": struct(40), "tests/a.c": struct(41)}, lint.check_structs)
        for path in ("core/a.h", "backends/a.c", "lua/host/a.c"):
            self.assert_found({path: struct(41)}, lint.check_structs, "struct s has 41 fields, at most 40")
        listed = {KNOWN: "struct s 50\n"}
        self.assert_clean(dict(listed, **{"core/a.h": struct(50)}), lint.check_structs)
        for n, pattern in ((51, "51 fields, at most 50"), (45, "write instead: struct s 45"),
                           (40, "remove the line")):
            self.assert_found(dict(listed, **{"core/a.h": struct(n)}), lint.check_structs, pattern)
        self.assert_found(listed, lint.check_structs, "known.txt:1.*remove the line")

    def test_table_of_functions(self):
        calls = "".join("  void (*call_%d%s)(const void *src, int (*f)(void));\n" % (i, "[10]" if i % 2 else "")
                        for i in range(41))
        for more in ("", "  const char *name;\n"):  # a table goes by a name at most
            self.assert_clean({"core/a.h": "struct s {\n" + more + calls + "};\n"}, lint.check_structs)
        for more in ("int n;", "const char *a, *b;", "char *name;", "const char *a; const char *b;",
                     "struct { int (*f)(void); } in;", "void *(*f)(void), *data;"):
            self.assert_found({"core/a.h": "struct s {\n" + calls + more + "\n};\n"}, lint.check_structs,
                              "struct s has 4[1-9] fields, at most 40")

    def test_header_that_is_part_of_another(self):
        for first in ("/* Part of run.h: more. */\n", "/* A\n * part\n * of `job/run.h`. */\n"):
            self.assert_found({"core/a.h": first}, lint.check_headers, "part of another")
            self.assert_clean({"core/a.h": first, KNOWN: "header core/a.h\n"}, lint.check_headers)
        self.assert_clean({"core/a.h": "/* The array is part of the memory. */\n/* Part of b.h */\n"},
                          lint.check_headers)
        self.assert_found({"core/a.h": "", KNOWN: "header core/a.h\n"}, lint.check_headers, "remove the line")

    def test_banned_functions(self):
        for name in ("strcpy", "sprintf", "strcat", "gets", "alloca"):
            for folder in ("core", "tests/unit"):
                self.assert_found({folder + "/a.c": "void f(void) { %s (x); }\n" % name},
                                  lint.check_banned, re.escape(name))
        for name in ("rand", "system", "atoi", "strtok"):  # tests may
            source = "int f(void) { return %s(x); }\n" % name
            self.assert_found({"backends/b.c": source}, lint.check_banned, re.escape(name))
            self.assert_clean({"tests/unit/test_a.c": source}, lint.check_banned)

    def test_banned_names_in_strings_comments_and_members_are_fine(self):
        self.assert_clean({"core/a.c": '/* strcpy(a) */ char *s = "strcpy(a)"; // free(x)\n'
                                       "void f(void) { o->free(o); a.malloc(1); lsi_free(p); }\n"},
                          lint.check_banned)

    def test_allocation_outside_mem(self):
        source = "void *f(void) { return malloc(1); }\n"
        self.assert_found({"core/a.c": source}, lint.check_banned, "comes from mem.h")
        self.assert_clean({"core/ground/mem.c": source}, lint.check_banned)
        self.assert_clean({"lua/runner/main.c": source}, lint.check_banned)
        self.assert_clean({"tests/unit/test_a.c": source}, lint.check_banned)

    def test_an_exception_says_what_it_allows(self):
        self.assert_clean({"lua/a.c": "void f(void) { free(x); } /* lint: allow free: jansson's */\n"},
                          lint.check_banned)

    def test_mutable_ops_table(self):
        self.assert_found({"backends/b.c": "static struct lsi_backend_ops t = {0};\n"},
                          lint.check_const_tables, "const")
        self.assert_clean({"backends/b.c": "const struct lsi_backend_ops t = {0};\n"},
                          lint.check_const_tables)

    def test_header_without_guard(self):
        self.assert_found({"core/a.h": "int x;\n"}, lint.check_guards, "guard")

    def test_machine_paths(self):
        for path in ("/wo" "rk/main", "/ro" "ot/x", "/ho" "me/me", "/tmp/" "wt"):
            self.assert_found({"a.md": "see %s\n" % path}, lint.check_text, "machine")
        self.assert_clean({"a.md": "see src/wo" "rk/main and /usr/bin\n"}, lint.check_text)

    def test_unfinished_work(self):
        self.assert_found({"core/a.c": "/* TO" "DO: all of it */\n"}, lint.check_text, "unfinished")

    def test_tabs_blanks_and_width(self):
        self.assert_found({"core/a.c": "int a;\t\n"}, lint.check_text, "tab or blanks")
        self.assert_found({"core/a.c": "int a; \n"}, lint.check_text, "tab or blanks")
        self.assert_found({"core/a.c": "/*" + "-" * 109 + "\n"}, lint.check_text, "111 columns")
        self.assert_found({"core/a.c": "int a;"}, lint.check_text, "newline")

    README = "```lua\nreturn 1\n```\n```c\nint x;\n```\n"

    def test_readme(self):
        good = {"README.md": self.README, "scripts/a.lua": "return 1\n", "bindings/c/x.c": "int x;\n"}
        self.assert_clean(good, lint.check_readme)
        self.assert_found({}, lint.check_readme, "missing")
        self.assert_found(dict(good, **{"README.md": self.README + "\n" * 94}),
                          lint.check_readme, "100 lines")
        self.assert_found(dict(good, **{"scripts/a.lua": "return 2\n"}), lint.check_readme,
                          "nothing tests it")
        self.assert_found({"README.md": "```c\nint x;\n```\n", "bindings/c/x.c": "int x;\n"},
                          lint.check_readme, "no example in lua")

    def test_jobs(self):
        names = ["scripts/%s.lua" % c for c in "abcde"]
        good = {n: "x\n" * 12 for n in names}
        good["tests/examples/test_examples.py"] = " ".join(os.path.basename(n) for n in names)
        self.assert_clean(good, lint.check_jobs)
        self.assert_found(dict(good, **{names[0]: "x\n" * 41}), lint.check_jobs, "41 lines")
        self.assert_found(dict(good, **{names[0]: "io.popen()\n" + "x\n" * 12}),
                          lint.check_jobs, "does not need io.popen")
        self.assert_found(dict(good, **{"tests/examples/test_examples.py": "b.lua c.lua d.lua e.lua"}),
                          lint.check_jobs, "a.lua.*does not run it")


if __name__ == "__main__":
    unittest.main()
