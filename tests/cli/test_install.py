"""cmake --install into an empty prefix: what lies there builds the example of bindings/c, shared and
static, as a user would build it with pkg-config or find_package, and a program in C++."""
import os
import re
import shutil
import tempfile
import unittest

from install_support import ROOT, Installed, run

with open(os.path.join(ROOT, "CMakeLists.txt")) as cmake:
    VERSION = re.search(r"project\(lsio VERSION (\d+\.\d+\.\d+)", cmake.read()).group(1)
# While 0.x the minor version is the ABI's, then the major one.
SONAME = "liblsio.so." + re.match(r"0\.\d+|\d+", VERSION).group()

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
  if (lsio_context_create(NULL, &c, NULL) || lsio_submit(c, &o, &job, NULL) || lsio_wait(job, -1)) return 2;
  lsio_job_release(job);
  lsio_context_destroy(c);
  fflush(stdout);
  host("local s = 0 for i = 1, 100 do s = s + i end print(jit.version) print(s)");
  lua_close(L);
  return 0;
}
"""

CXX = """
cmake_minimum_required(VERSION 3.16)
project(cxx LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
add_compile_options(-Wall -Wextra -pedantic -Wconversion -Wshadow -Wold-style-cast -Werror)
find_package(lsio 0.1 REQUIRED COMPONENTS shared OPTIONAL_COMPONENTS static)
foreach(lib lsio lsio_static)
  add_executable(with_${lib} main.cpp)
  target_link_libraries(with_${lib} PRIVATE lsio::${lib})
endforeach()
"""
CXX_MAIN = r"""
#include <lsio.h>
#include <cstdio>
#include <cstring>

int main() {
  static const char script[] = "error('from C++', 0)";
  lsio_job_options options{};
  options.struct_size = sizeof options;
  options.script = script;
  options.script_length = std::strlen(script);
  lsio_context *context = nullptr;
  lsio_job *job = nullptr;
  lsio_error *error = nullptr;
  int status = lsio_context_create(nullptr, &context, &error);
  if (status == 0) status = lsio_submit(context, &options, &job, &error);
  if (status == 0) status = lsio_wait(job, -1);
  std::puts(lsio_error_message(job ? lsio_job_error(job) : error));
  lsio_error_free(error);
  lsio_job_release(job);
  lsio_context_destroy(context);
  return status == LSIO_ERR_SCRIPT ? 0 : 1;
}
"""


class Install(Installed):
    def build_example(self, *variables):
        folder = self.copied("c")
        run("make", "-s", "first_job", *variables, cwd=folder, env=self.env)
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
        self.assertIn(SONAME, run("readelf", "-d", program).stdout)
        self.check_example(program, LD_LIBRARY_PATH=self.libraries)

    def test_static(self):
        program = self.build_example("STATIC=1")
        self.assertNotIn("liblsio", run("readelf", "-d", program).stdout)
        self.check_example(program)

    def cmake(self, prefix, *options, code=0, **environment):
        """Configures the examples of bindings/c; returns its build folder, or what CMake said when it fails."""
        return self.configure(self.copied("c"), prefix, *options, code=code, **environment)

    def moved(self):
        """The prefix under another path, with a blank in it, and without what names the first one."""
        prefix = os.path.join(tempfile.mkdtemp(dir=self.folder), "moved here")
        shutil.copytree(self.prefix, prefix, symlinks=True)
        package = os.path.dirname(self.find("lsioConfig.cmake"))
        for name in os.listdir(package):
            with open(os.path.join(package, name)) as f:
                self.assertNotIn(self.prefix, f.read())
        return prefix

    def test_cmake_package(self):
        prefix = self.moved()
        for option, linked in (("-DSTATIC=OFF", True), ("-DSTATIC=ON", False)):
            build = self.cmake(prefix, option)
            run("ninja", "-C", build)
            program = os.path.join(build, "first_job")
            self.assertEqual(linked, SONAME in run("readelf", "-d", program).stdout)
            out = run("ldd", program).stdout
            self.assertEqual(linked, prefix in out)
            self.assertNotIn(self.prefix, out)
            self.check_example(program)

    def test_cmake_package_in_cxx(self):
        prefix, folder = self.moved(), tempfile.mkdtemp(dir=self.folder)
        for name, text in (("CMakeLists.txt", CXX), ("main.cpp", CXX_MAIN)):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        build = self.configure(folder, prefix)
        run("ninja", "-C", build)
        for name in ("with_lsio", "with_lsio_static"):
            self.assertIn("from C++", run(os.path.join(build, name)).stdout)

    def test_cmake_package_where_libraries_are_missing(self):
        # Who links liblsio.so needs none of them; who wants liblsio.a is told which are missing.
        empty = tempfile.mkdtemp(dir=self.folder)
        for name in ("libzstd.pc", "jansson.pc"):
            folder = run("pkg-config", "--variable", "pcfiledir", name[:-3]).stdout.strip()
            os.symlink(os.path.join(folder, name), os.path.join(empty, name))
        environment = {"PKG_CONFIG_LIBDIR": empty, "PKG_CONFIG_PATH": ""}
        run("ninja", "-C", self.cmake(self.prefix, **environment))
        out = self.cmake(self.prefix, "-DSTATIC=ON", code=1, **environment)
        self.assertRegex(out, "liblsio.a is linked with what pkg-config does not find: .*liblz4 and blosc and libcrypto")
        self.assertNotIn("libzstd", out)

    def test_cmake_package_version(self):
        major, minor, patch = map(int, VERSION.split("."))
        for wanted, found in ((VERSION, True), ("%d.%d" % (major, minor), True),
                              ("%d.%d.%d" % (major, minor, patch + 1), False),
                              ("%d.%d" % (major, minor + 1), False), ("%d.0" % (major + 1), False),
                              ("%d.%d" % (major, minor - 1), major > 0 or minor == 0)):
            folder = tempfile.mkdtemp(dir=self.folder)
            with open(os.path.join(folder, "CMakeLists.txt"), "w") as f:
                f.write("cmake_minimum_required(VERSION 3.16)\nproject(version LANGUAGES NONE)\n"
                        "find_package(lsio %s REQUIRED)\n" % wanted)
            out = self.configure(folder, self.prefix, code=0 if found else 1)
            if not found:
                self.assertIn("version: " + VERSION, out)

    def test_cmake_package_component(self):
        folder = tempfile.mkdtemp(dir=self.folder)
        with open(os.path.join(folder, "CMakeLists.txt"), "w") as f:
            f.write("cmake_minimum_required(VERSION 3.16)\nproject(part LANGUAGES C)\n"
                    "find_package(lsio REQUIRED COMPONENTS shred)\n")
        self.assertIn("shared and static, but no shred", self.configure(folder, self.prefix, code=1))

    def test_installed_runner_runs_from_elsewhere(self):
        job = os.path.join(self.folder, "job.lua")
        with open(job, "w") as f:
            f.write('local lsio = require "lsio"\n'
                    'return lsio.job { source = lsio.files("*.f32", { chunk = "64KiB" }), type = "f32",\n'
                    '  state = "double n;", reduce = { n = "sum" },\n'
                    "  transform = function(chunk, state) state.n = state.n + chunk.n end,\n"
                    "  done = function(r) print(r.n) end }\n")
        self.assertEqual("100000\n", run(self.find("lsio-lua"), job, cwd=self.folder).stdout)

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
        for compiler, language in (("cc", ["-x", "c", "-std=c11", "-Wstrict-prototypes"]),
                                   ("c++", ["-x", "c++", "-std=c++17", "-Wold-style-cast"])):
            source = os.path.join(self.folder, "header.txt")
            with open(source, "w") as f:
                f.write("#include <lsio.h>\nint main(void) { return lsio_version() == 0; }\n")
            run(compiler, *language, "-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Wshadow", "-Werror", include,
                "-fsyntax-only", source)


if __name__ == "__main__":
    unittest.main()
