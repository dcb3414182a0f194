"""cmake --install into an empty prefix: what lies there builds the example of bindings/c, shared and
static, as a user would build it; the libraries offer the public names and no others."""
import array
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.environ.get("LSIO_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.environ.get("LSIO_BUILD_DIR") or os.path.join(ROOT, "build")


HOST = r"""
#include <lauxlib.h>
#include <lsio.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lua_State *L;
static void host(const char *code) {
  if (luaL_dostring(L, code)) exit(1);
  fflush(stdout);
}

int main(int argc, char **argv) {
  static char script[1000];
  L = luaL_newstate();
  luaL_openlibs(L);
  host("print(jit.version)");
  char *doctor = lsio_doctor(), *at = strstr(doctor, "LuaJIT 2");
  printf("%.*s\n", (int)strcspn(at, ","), at);
  fflush(stdout);
  lsio_free(doctor);
  snprintf(script, sizeof script,
           "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files(%c%s%c), type = 'f32',"
           " state = 'double n;', reduce = { n = 'sum' },"
           " transform = function(chunk, state) state.n = state.n + chunk.n end,"
           " done = function(r) print(r.n) end }", 39, argv[argc - 1], 39);
  struct lsio_job_options o = {.struct_size = sizeof o, .script = script,
                               .script_length = strlen(script), .script_name = "job"};
  lsio_context *c;
  lsio_job *job;
  if (lsio_context_create(NULL, &c, NULL) || lsio_submit(c, &o, &job, NULL) || lsio_wait(job)) return 2;
  lsio_job_destroy(job);
  lsio_context_destroy(c);
  fflush(stdout);
  host("local s = 0 for i = 1, 100 do s = s + i end print(jit.version) print(s)");
  lua_close(L);
  return 0;
}
"""


def run(*command, **options):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=120, **options)
    if result.returncode != 0:
        raise AssertionError("%s: exit %d\n%s%s" % (" ".join(command), result.returncode,
                                                    result.stdout, result.stderr))
    return result


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="lsio install ")  # a blank in the path is legal
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.prefix = os.path.join(tempfile.mkdtemp(prefix="lsio-prefix-"), "usr")
        cls.addClassCleanup(shutil.rmtree, os.path.dirname(cls.prefix))
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)
        cls.pkgconfig = cls.find("lsio.pc")
        cls.libraries = os.path.dirname(os.path.dirname(cls.pkgconfig))
        cls.env = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(cls.pkgconfig))
        cls.data = os.path.join(cls.folder, "values.f32")
        with open(cls.data, "wb") as f:
            array.array("f", [i / 1000 for i in range(1000)] * 100).tofile(f)

    @classmethod
    def find(cls, name):
        for folder, _, files in os.walk(cls.prefix):
            if name in files:
                return os.path.join(folder, name)
        raise AssertionError("%s was not installed" % name)

    def build_example(self, *variables):
        folder = tempfile.mkdtemp(dir=self.folder)
        for name in ("first_job.c", "Makefile"):
            shutil.copy(os.path.join(ROOT, "bindings", "c", name), folder)
        run("make", "-s", "CFLAGS=-O2 -Wall -Wextra -Werror", *variables, cwd=folder,
            env=self.env)
        return os.path.join(folder, "first_job")

    def check_example(self, program, **environment):
        env = dict(os.environ, **environment)
        self.assertEqual("49900 of 100000\n", run(program, self.data, env=env).stdout)
        self.assertEqual("24900 of 100000\n", run(program, self.data, "0.75", env=env).stdout)

    def test_pkg_config_names_this_prefix_and_version(self):
        flags = run("pkg-config", "--cflags", "--libs", "lsio", env=self.env).stdout
        self.assertIn(self.prefix, flags)
        version = run("pkg-config", "--modversion", "lsio", env=self.env).stdout.strip()
        runner = run(self.find("lsio-lua"), "--version").stdout
        self.assertIn(version, runner)

    def test_shared(self):
        program = self.build_example()
        self.assertIn("liblsio.so.0", run("readelf", "-d", program).stdout)
        self.check_example(program, LD_LIBRARY_PATH=self.libraries)

    def test_static(self):
        program = self.build_example("STATIC=1")
        self.assertNotIn("liblsio", run("readelf", "-d", program).stdout)
        self.check_example(program)

    def test_missing_file_is_reported(self):
        program = self.build_example("STATIC=1")
        gone = os.path.join(self.folder, "gone.f32")
        result = subprocess.run([program, gone], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, timeout=60)
        self.assertEqual(1, result.returncode)
        self.assertEqual("", result.stdout)
        self.assertIn("gone.f32", result.stderr)

    def test_installed_runner_runs_from_elsewhere(self):
        job = os.path.join(self.folder, "job.lua")
        with open(job, "w") as f:
            f.write('local lsio = require "lsio"\n'
                    'return lsio.job { source = lsio.files("*.f32", { chunk = "64KiB" }), type = "f32",\n'
                    '  state = "double n;", reduce = { n = "sum" },\n'
                    "  transform = function(chunk, state) state.n = state.n + chunk.n end,\n"
                    "  done = function(r) print(r.n) end }\n")
        self.assertEqual("100000\n", run(self.find("lsio-lua"), job, cwd=self.folder).stdout)

    def test_only_public_names_are_exported(self):
        out = run("nm", "-D", "--defined-only", os.path.join(self.libraries, "liblsio.so")).stdout
        names = set(line.split()[-1].split("@")[0] for line in out.splitlines() if line.strip())
        self.assertEqual([], sorted(n for n in names if not re.match(r"lsio_\w+$", n)))
        declared = set()
        for path in glob.glob(os.path.join(os.path.dirname(self.find("lsio.h")), "lsio", "*.h")):
            with open(path) as f:
                header = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
            declared |= set(re.findall(r"LSIO_API [^;]*?\b(lsio_\w+)\s*\(", header))
        self.assertGreater(len(declared), 20)
        self.assertEqual(declared, names)

    def test_a_program_with_its_own_luajit(self):
        # It may be another one than that inside liblsio.so: neither sees the other's functions.
        source = os.path.join(self.folder, "host.c")
        with open(source, "w") as f:
            f.write(HOST)
        flags = run("pkg-config", "--cflags", "--libs", "luajit").stdout.split()
        program = os.path.join(self.folder, "host")
        run("cc", "-Wall", "-Werror", "-I" + os.path.dirname(self.find("lsio.h")), source, "-o", program,
            "-L" + self.libraries, *flags, "-llsio")
        env = dict(os.environ, LD_LIBRARY_PATH=self.libraries)
        out = run(program, self.data, env=env).stdout.splitlines()
        own = re.search(r"^LuaJIT [^,]*", run(self.find("lsio-lua"), "--doctor").stdout, re.M).group()
        host = run("luajit", "-e", "print(jit.version)").stdout.strip()
        self.assertEqual([host, own, "100000", host, "5050"], out)

    def test_header_is_clean_c11_and_cxx17(self):
        include = "-I" + os.path.dirname(self.find("lsio.h"))
        for compiler, language in (("cc", ["-x", "c", "-std=c11"]), ("c++", ["-x", "c++", "-std=c++17"])):
            source = os.path.join(self.folder, "header.txt")
            with open(source, "w") as f:
                f.write("#include <lsio.h>\nint main(void) { return lsio_version() == 0; }\n")
            run(compiler, *language, "-Wall", "-Wextra", "-pedantic", "-Werror", include,
                "-fsyntax-only", source)


if __name__ == "__main__":
    unittest.main()
