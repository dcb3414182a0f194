"""What tests of the installed tree share: LSIO in an empty prefix, and data to read."""
import array
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.environ.get("LSIO_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.environ.get("LSIO_BUILD_DIR") or os.path.join(ROOT, "build")


def execute(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          **{"text": True, "timeout": 120, **options})


def run(*command, **options):
    result = execute(*command, **options)
    if result.returncode != 0:
        raise AssertionError("%s: exit %d\n%s%s" % (" ".join(command), result.returncode,
                                                    result.stdout, result.stderr))
    return result


class Installed(unittest.TestCase):
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

    def copied(self, *names):
        """bindings/NAME, in a folder of its own, as a user would take it."""
        folder = os.path.join(tempfile.mkdtemp(dir=self.folder), "copy")
        shutil.copytree(os.path.join(ROOT, "bindings", *names), folder)
        return folder

    def configure(self, folder, prefix, *options, code=0, **environment):
        """The build folder, or what CMake said when it fails."""
        build = os.path.join(folder, "build")
        result = subprocess.run(["cmake", "-S", folder, "-B", build, "-G", "Ninja", "-DCMAKE_PREFIX_PATH=" + prefix,
                                 *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, timeout=120, env=dict(os.environ, **environment))
        self.assertEqual(code, result.returncode, result.stdout)
        return build if code == 0 else " ".join(result.stdout.split())
