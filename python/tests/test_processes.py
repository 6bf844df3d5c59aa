"""Other processes, and memory over many calls."""

import gc
import multiprocessing
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import residual_routes as rr
from kinds import KINDS, array


def large(seed):
    normal = np.random.default_rng(seed).standard_normal
    parts = normal((400, 1024)).astype(np.float32)
    return parts.sum(axis=0), parts


def contributions_of(seed):
    return rr.contributions(*large(seed))


def run(program):
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_children_give_the_same_bits(method):
    expected = [contributions_of(seed) for seed in range(4)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.map(contributions_of, range(4))
    np.testing.assert_array_equal(results, expected)


def test_a_child_of_a_fork_may_use_the_context_of_its_parent():
    run(
        """
        import os, warnings
        import numpy as np, residual_routes as rr
        parts = np.random.default_rng(0).standard_normal((400, 1024)).astype(np.float32)
        whole = parts.sum(axis=0)
        context = rr.Context(4)
        expected = rr.contributions(whole, parts, context=context)
        warnings.simplefilter("ignore")
        child = os.fork()
        if child == 0:
            same = (rr.contributions(whole, parts, context=context) == expected).all()
            same &= (rr.contributions(whole, parts) == expected).all()
            del context
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
        """
    )


def test_a_second_interpreter_is_refused_and_the_first_goes_on():
    run(
        """
        import residual_routes as rr
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import sys
        second = interpreters.create()
        program = '''
        try:
            import residual_routes._native
        except ImportError:
            pass
        else:
            raise SystemExit("imported")
        '''.replace("\\n        ", "\\n")
        failed = interpreters.run_string(second, "import sys; sys.path = %r\\n%s" % (sys.path, program))
        assert failed is None, failed
        assert abs(rr.contributions([2.0], [[1.0], [1.0]]).sum() - 1) < 1e-6
        """
    )


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_many_calls_leave_no_memory_behind(kind):
    whole, parts = (array(kind, values) for values in large(0))
    many = parts[:, None, :8]
    wholes = whole[None, :8]
    references = sys.getrefcount(parts), sys.getrefcount(whole)

    def calls(n):
        for _ in range(n):
            rr.contributions(wholes, many)
            rr.contributions(wholes, many, many[0])
            rr.group_contributions(wholes, [many, rr.Group(parts=many, top=3), rr.Group(parts=many, above=0.01)])
            rr.PreparedProjection(parts[:8, :512])
            with pytest.raises(rr.Error):
                rr.contributions(wholes, many, many)
        gc.collect()

    calls(300)
    before = resident()
    calls(3000)
    # What a call holds is at least 1.6 kB, of which 3000 would be 5 MB; a projection holds 16 kB.
    assert resident() - before < 3 << 20
    assert (sys.getrefcount(parts), sys.getrefcount(whole)) == references


def test_any_number_of_threads_gives_the_same_bits():
    whole, parts = large(1)
    expected = rr.contributions(whole, parts, context=rr.Context(1))
    for threads in (2, 3, 8):
        context = rr.Context(threads)
        assert context.threads == threads
        np.testing.assert_array_equal(rr.contributions(whole, parts, context=context), expected)
    for name in ("portable", "avx2"):
        limited = rr.Context(instruction_set=name)
        np.testing.assert_array_equal(rr.contributions(whole, parts, context=limited), expected)


def test_a_context_keeps_working_memory_up_to_its_limit():
    normal = np.random.default_rng(0).standard_normal
    stream, pattern = normal((64, 64)).astype(np.float32), np.tril(np.ones((4, 64, 64), np.float32))
    factors = {"pattern": pattern, "values": normal((64, 4, 16)).astype(np.float32)}
    context = rr.Context(1, kept_memory=1 << 20)

    def call():
        rr.attention(stream, stream * 2, **factors, w_o=stream.reshape(4, 16, 64), context=context)

    call()
    assert 0 < context.kept_memory <= 1 << 20
    context.release_memory()
    assert context.kept_memory == 0
    context.limit_kept_memory(0)
    call()
    assert context.kept_memory == 0
