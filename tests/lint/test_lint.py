"""Runs each rule of lint.py on this tree, and shows for each rule that it can fail."""
import os
import re
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import lint  # noqa: E402


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


class TheLint(unittest.TestCase):
    """Each small tree breaks one rule, in one place."""

    def lint(self, files, check):
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                path = os.path.join(root, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as f:
                    f.write(text)
            return lint.problems(root, [check])

    def assert_found(self, files, check, pattern):
        found = [str(p) for p in self.lint(files, check)]
        self.assertEqual(1, len(found), found)
        self.assertRegex(found[0], pattern)

    def assert_clean(self, files, check):
        self.assertEqual([], [str(p) for p in self.lint(files, check)])

    def test_core_takes_no_os_header(self):
        self.assert_found({"core/a.c": "#include <stdint.h>\n#include <unistd.h>\n"},
                          lint.check_includes, r"core/a.c:2: .*unistd.h")

    def test_core_takes_no_threads_and_no_clock(self):
        for header in ("pthread.h", "threads.h", "time.h", "signal.h", "sys/mman.h"):
            self.assert_found({"core/a.c": "#include <%s>\n" % header}, lint.check_includes, header)

    def test_core_takes_no_lua_header(self):
        self.assert_found({"core/a.c": "#include <lua.h>\n"}, lint.check_includes, r"lua.h")

    def test_core_includes_nothing_above_it(self):
        self.assert_found({"core/a.c": '#include "../backends/b.h"\n', "backends/b.h": ""},
                          lint.check_includes, "core includes only core")

    def test_intrinsics_stay_in_the_kernels(self):
        source = "#include <immintrin.h>\n"
        self.assert_clean({"core/kernels/k.c": source}, lint.check_includes)
        self.assert_found({"core/k.c": source}, lint.check_includes, "immintrin")

    def test_codec_libraries_are_allowed_in_core(self):
        self.assert_clean({"core/codec.c": "#include <lz4frame.h>\n#include <zstd.h>\n"},
                          lint.check_includes)

    def test_backends_do_not_see_the_engine(self):
        self.assert_found({"backends/b.c": '#include "engine.h"\n', "core/engine.h": ""},
                          lint.check_includes, "backends see of core only")

    def test_backends_do_not_see_lua(self):
        self.assert_found({"backends/b.c": "#include <lauxlib.h>\n"}, lint.check_includes, "lauxlib")
        self.assert_found({"backends/b.c": '#include "../lua/host.h"\n', "lua/host.h": ""},
                          lint.check_includes, "host.h")

    def test_lua_never_sees_backends(self):
        self.assert_found({"lua/host.c": '#include "../backends/b.h"\n', "backends/b.h": ""},
                          lint.check_includes, "lua never sees backends")

    def test_lua_takes_no_os_header(self):
        self.assert_found({"lua/host.c": "#include <fcntl.h>\n"}, lint.check_includes, "fcntl.h")

    def test_runner_sees_the_public_header_only(self):
        self.assert_clean({"lua/runner/main.c": '#include "lsio.h"\n#include <poll.h>\n',
                           "core/lsio.h": ""}, lint.check_includes)
        self.assert_found({"lua/runner/main.c": '#include "err.h"\n', "core/err.h": ""},
                          lint.check_includes, "lsio.h only")

    def test_bindings_see_the_public_header_only(self):
        self.assert_found({"bindings/c/x.c": '#include "../../core/err.h"\n', "core/err.h": ""},
                          lint.check_includes, "lsio.h only")

    def test_planner_reaches_no_os_through_a_chain(self):
        self.assert_found({"core/plan.c": '#include "a.h"\n', "core/a.h": '#include "os.h"\n',
                           "core/os.h": ""}, lint.check_includes, "pure, but reaches core/os.h")

    def test_an_include_of_nothing(self):
        self.assert_found({"core/a.c": '#include "gone.h"\n'}, lint.check_includes, "no such file")

    def test_lua_module_requires_something_else(self):
        self.assert_clean({"lua/lsio/a.lua": 'require "ffi" require("lsio.b")\n'},
                          lint.check_lua_requires)
        self.assert_found({"lua/lsio/a.lua": 'local x = require "socket"\n'},
                          lint.check_lua_requires, "socket")

    def test_long_file(self):
        self.assert_found({"core/a.c": "\n" * 501}, lint.check_lengths, "501 lines, at most 500")

    def test_ratchet_lets_old_files_shrink_but_not_grow(self):
        ratchet = "core/a.c 600\n"
        self.assert_clean({"core/a.c": "\n" * 590, "tests/lint/ratchet.txt": ratchet},
                          lint.check_lengths)
        self.assert_found({"core/a.c": "\n" * 610, "tests/lint/ratchet.txt": ratchet},
                          lint.check_lengths, "grew from 600 lines to 610")

    def test_no_ratchet_beyond_the_hard_limit(self):
        self.assert_found({"core/a.c": "\n" * 701, "tests/lint/ratchet.txt": "core/a.c 701\n"},
                          lint.check_lengths, "never more than 700")

    def test_long_function(self):
        body = "static int f(int a,\n             int b) {\n" + "  a++;\n" * 80 + "  return a;\n}\n"
        self.assert_found({"core/a.c": body}, lint.check_lengths, r"core/a.c:f has 83 lines")

    def test_functions_are_found(self):
        code = ('extern "C" {\n#define M(x) { \\\n  x }\nstruct s { int a; };\n'
                "int one(void) { return 1; }\nvoid two(int (*f)(void)) {\n  if (f) {\n  }\n}\n}\n")
        self.assertEqual([("one", 5, 5), ("two", 6, 9)], lint.functions(lint.strip_c(code)))

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
        self.assert_found({"core/a.c": source}, lint.check_banned, "core/mem.h")
        self.assert_clean({"core/mem.c": source}, lint.check_banned)
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
