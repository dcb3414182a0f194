"""LSIO as a part of another CMake project, by add_subdirectory and by FetchContent, and built by itself on
a machine without cmocka. Compiled with -O0: what counts is that everything is found."""
import array
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.environ.get("LSIO_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

# A project that has names of its own for other things, compiles its files together, and installs only what is its own.
OUTER = """
cmake_minimum_required(VERSION 3.25)
project(outer LANGUAGES C)
set(CMAKE_UNITY_BUILD ON)
find_package(PkgConfig REQUIRED)
foreach(name LUAJIT LZ4 ZSTD BLOSC JANSSON CRYPTO URING)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET libxxhash)
endforeach()
%s
add_executable(with_static first_job.c)
target_link_libraries(with_static PRIVATE lsio::lsio_static)
add_executable(with_shared first_job.c)
target_link_libraries(with_shared PRIVATE lsio::lsio)
install(TARGETS with_static)
"""
BY_FOLDER = "add_subdirectory(${LSIO} lsio)"
BY_FETCH = """
include(FetchContent)
FetchContent_Declare(lsio SOURCE_DIR ${LSIO})
FetchContent_MakeAvailable(lsio)
"""


def run(*command, code=0, **options):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=300, **options)
    if result.returncode != code:
        raise AssertionError("%s: exit %d\n%s" % (" ".join(command), result.returncode, result.stdout[-4000:]))
    return result.stdout


class Subproject(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="lsio outer ")  # a blank in the path is legal
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        # The last -O wins: the kernels ask for -O3, three times. ccache compiles once what three projects build.
        cls.compiler = os.path.join(cls.folder, "compiler")
        with open(cls.compiler, "w") as f:
            f.write('#!/bin/sh\nexec %s "$@" -O0 -g0 -w\n' % (shutil.which("ccache") or ""))
        os.chmod(cls.compiler, 0o755)
        cls.data = os.path.join(cls.folder, "values.f32")
        with open(cls.data, "wb") as f:
            array.array("f", [i / 1000 for i in range(1000)] * 100).tofile(f)
        # The folders of pkg-config but for cmocka.
        cls.no_cmocka = os.path.join(cls.folder, "pkgconfig")
        os.mkdir(cls.no_cmocka)
        folders = run("pkg-config", "--variable", "pc_path", "pkg-config").strip().split(":")
        for folder in os.environ.get("PKG_CONFIG_PATH", "").split(":") + folders:
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                link = os.path.join(cls.no_cmocka, name)
                if not name.startswith("cmocka") and not os.path.lexists(link):
                    os.symlink(os.path.join(folder, name), link)

    def configure(self, source, build, *options, code=0, cmocka=True, **environment):
        env = dict(os.environ, **environment)
        if not cmocka:
            env.update(PKG_CONFIG_LIBDIR=self.no_cmocka, PKG_CONFIG_PATH="")
        return run("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                   "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DCMAKE_C_COMPILER_LAUNCHER=" + self.compiler,
                   *options, code=code, env=env)

    def outer(self, name, how):
        source = os.path.join(self.folder, name)
        os.mkdir(source)
        shutil.copy(os.path.join(ROOT, "bindings", "c", "first_job.c"), source)
        with open(os.path.join(source, "CMakeLists.txt"), "w") as f:
            f.write(OUTER % how)
        build = os.path.join(source, "build")
        self.configure(source, build, "-DLSIO=" + ROOT)
        return build

    @staticmethod
    def targets(build):
        return set(re.findall(r"^([^\s:/]+): ", run("ninja", "-C", build, "-t", "targets", "all"), re.M))

    def installed(self, build):
        prefix = tempfile.mkdtemp(dir=self.folder)
        run("cmake", "--install", build, "--prefix", prefix)
        return {os.path.relpath(os.path.join(folder, name), prefix)
                for folder, _, names in os.walk(prefix) for name in names}

    def check_plain(self, targets):
        self.assertLessEqual({"lsio", "lsio_static", "lsio-lua"}, targets)
        self.assertEqual(set(), {t for t in targets if re.match("test_|fuzz_|ref_|drive_|gen_data", t)})

    def test_add_subdirectory(self):
        build = self.outer("folder", BY_FOLDER)
        self.check_plain(self.targets(build))
        run("ninja", "-C", build)  # all there is, without tests and benchmarks
        for program in ("with_static", "with_shared"):
            self.assertIn("49900 of 100000\n", run(os.path.join(build, program), self.data))
        self.assertIn("usage", run(os.path.join(build, "lsio", "lsio-lua"), "--help").lower())
        # A program sees LSIO's header, and nothing of what LSIO is built with.
        with open(os.path.join(build, "compile_commands.json")) as f:
            commands = [c["command"] for c in json.load(f) if "/with_s" in c["command"]]
        for command in commands:
            flags = [flag for flag in shlex.split(command) if re.match("-[IDWf]|-isystem|-std", flag)]
            self.assertEqual(["-I" + os.path.join(ROOT, "core"), "-I" + os.path.join(ROOT, "bindings", "cpp")], flags)
        self.assertEqual(2, len(commands))
        # What is installed is the program's affair; LSIO comes along where it is asked to.
        self.assertEqual({"bin/with_static"}, self.installed(build))
        self.configure(os.path.dirname(build), build, "-DLSIO_INSTALL=ON")
        self.assertLessEqual({"bin/with_static", "bin/lsio-lua", "include/lsio.h"}, self.installed(build))

    def test_fetch_content(self):
        build = self.outer("fetch", BY_FETCH)
        self.check_plain(self.targets(build))
        run("ninja", "-C", build, "with_shared")
        self.assertIn("49900 of 100000\n", run(os.path.join(build, "with_shared"), self.data))

    def test_without_cmocka(self):
        build = os.path.join(self.folder, "plain")
        out = self.configure(ROOT, build, cmocka=False)
        self.assertRegex(out, r"-- LSIO without its tests.*cmocka.*libcmocka-dev")
        self.check_plain(self.targets(build))
        run("ninja", "-C", build, "lsio-lua")
        self.assertIn("liburing", run(os.path.join(build, "lsio-lua"), "--version"))
        # Once cmocka is there, the next configuring finds it.
        self.configure(ROOT, build)
        self.assertIn("test_plan", self.targets(build))

    def test_without_cmocka_tests_asked_for(self):
        build = os.path.join(self.folder, "asked")
        out = self.configure(ROOT, build, "-DLSIO_TESTS=ON", code=1, cmocka=False)
        self.assertRegex(out.replace("\n", " "), r"LSIO_TESTS=ON: the tests need\s+cmocka.*libcmocka-dev")

    def test_luajit_prefix(self):
        # One that is there is taken, and nothing is fetched for it; here it leads to the system's.
        prefix = os.path.join(self.folder, "luajit")
        os.makedirs(os.path.join(prefix, "lib", "pkgconfig"))
        link = os.path.join(prefix, "lib", "pkgconfig", "luajit.pc")
        with open(os.path.join(run("pkg-config", "--variable", "pcfiledir", "luajit").strip(), "luajit.pc")) as f:
            text = f.read()
        with open(link, "w") as f:
            f.write(re.sub(r"(?m)^Version:.*", "Version: 2.1.12345", text))
        tools = os.path.join(self.folder, "tools")
        os.mkdir(tools)
        for tool in ("cargo", "curl", "wget", "git"):
            with open(os.path.join(tools, tool), "w") as f:
                f.write('#!/bin/sh\necho "$0 $*" >>"%s"\nexit 1\n' % os.path.join(self.folder, "fetched"))
            os.chmod(os.path.join(tools, tool), 0o755)
        path = tools + ":" + os.environ["PATH"]
        build = os.path.join(self.folder, "prefix")
        self.configure(ROOT, build, "-DLSIO_LUAJIT=" + prefix, PATH=path)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "fetched")))
        with open(os.path.join(build, "build.ninja")) as f:
            self.assertIn("LuaJIT 2.1.12345", f.read())
        # One with nothing in it is refused; the system's would be taken else.
        os.remove(link)
        out = self.configure(ROOT, build, code=1, PATH=path)
        self.assertIn("%s: there is no %s" % (prefix, link), " ".join(out.split()))
        # And these are indeed the tools that would be called.
        self.configure(ROOT, build, "-DLSIO_LUAJIT=upstream", code=1, PATH=path)
        with open(os.path.join(self.folder, "fetched")) as f:
            self.assertIn("cargo", f.read())


if __name__ == "__main__":
    unittest.main()
