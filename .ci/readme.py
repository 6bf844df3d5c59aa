"""Builds and runs the code in README.md, each block as a reader would: from the repository's root, with a released
library. (The Rust block is a test of crates/contrib-core.)"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORDING = ROOT / "examples/data/smollm2-135m-capitals.safetensors"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def blocks(language, containing=""):
    return [text for name, text in BLOCKS if name == language and containing in text]


def block(language, containing=""):
    (text,) = blocks(language, containing)
    return text


def run(*command, cwd=ROOT):
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        main_c = folder / "main.c"
        main_c.write_text(
            "#include <contrib.h>\n#include <math.h>\n#include <stdio.h>\nint main(void) {\n"
            + block("c", "float whole")
            + "return fabs(contributions[0] - 12.0 / 17) < 1e-6 ? 0 : 1;\n}\n"
        )
        attention_c = folder / "attention.c"
        attention_c.write_text(
            "#include <contrib.h>\ncontrib_status largest_of(int64_t pos, const void *q, const void *k, const void *v,\n"
            "const void *w_o, const float *before, const float *after, float *largest, int64_t *which, float *stream) {\n"
            + block("c", "contrib_attention_inputs")
            + "return status;\n}\n"
        )
        routes_c = folder / "routes.c"
        routes_c.write_text(
            "#include <contrib.h>\n#include <stdio.h>\nint main(void) {\n"
            + block("c", "contrib_routes_find").replace("recording.safetensors", str(RECORDING))
            + 'printf("%zu edges\\n", arrays.n_edges);\nreturn status != CONTRIB_OK || arrays.n_edges == 0;\n}\n'
        )
        strict = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
        run("cc", *strict, "-Iinclude", "-c", attention_c, "-o", folder / "attention.o")
        (link,) = [line for line in block("sh", "-Iinclude").splitlines() if line.startswith("cc ")]
        run("sh", "-c", link.replace("main.c", f"'{main_c}'").replace("-o main", f"-o '{folder}/main'"))
        run(folder / "main")
        run("sh", "-c", link.replace("main.c", f"'{routes_c}'").replace("-o main", f"-o '{folder}/routes'"))
        run(folder / "routes")

        openmp_c = folder / "openmp.c"
        openmp_c.write_text(
            "#include <contrib.h>\n#include <omp.h>\n" + block("c", "static void parallel_for") + "int main(void) {\n"
            + block("c", "contrib_context_new_with_parallel_for")
            + "contrib_context_free(context);\nreturn status;\n}\n"
        )
        run("sh", "-c", link.replace("main.c", f"-fopenmp '{openmp_c}'").replace("-o main", f"-o '{folder}/openmp'"))
        run(folder / "openmp")

        # A reader has contrib in a folder of the project, or elsewhere.
        (folder / "contrib").symlink_to(ROOT)
        (folder / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.18)\nproject(main C)\nadd_executable(main main.c)\n" + block("cmake")
        )
        target = f"-DCONTRIB_CARGO_TARGET_DIR={ROOT / 'target'}"
        run("cmake", "-S", folder, "-B", folder / "build", f"-DCONTRIB={ROOT}", target)
        run("cmake", "--build", folder / "build")
        run(folder / "build" / "main")

        # Installed into the folder, where the README says /usr/local.
        prefix = folder / "prefix"
        for text in blocks("sh", "pkg-config"):
            paths = f"export PKG_CONFIG_PATH='{prefix}/lib/pkgconfig' LD_LIBRARY_PATH='{prefix}/lib'\n"
            script = text.replace("/usr/local", str(prefix)).replace("main.c", f"'{main_c}'")
            script = script.replace("-o main", f"-lm -o '{folder}/installed'")
            run("sh", "-ec", f"{paths}{script}'{folder}/installed'")

        for text in blocks("cpp"):
            main_cpp = folder / "main.cpp"
            main_cpp.write_text("#include <contrib.hpp>\n#include <vector>\nint main() {\n" + text + "}\n")
            link_cpp = link.replace("cc ", "c++ -std=c++20 ", 1).replace("main.c", f"'{main_cpp}'")
            run("sh", "-c", link_cpp.replace("-o main", f"-o '{folder}/cpp'"))
            run(folder / "cpp")

        # In the environment into which python/run_tests.sh installed the package.
        (folder / "main.py").write_text(block("python").replace('"routes.html"', f'"{folder}/routes.html"'))
        run(ROOT / "target/python-quick/bin/python", folder / "main.py")
    print("the README's code builds and runs")


sys.exit(main())
