"""What arguments may be: libraries, types of elements, views; and what is an error."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import residual_routes as rr
from kinds import KINDS, array, is_of, ml_dtypes, needs_torch, to_float64, torch

WHOLE = [3, 1, 1, 3.5]
PARTS = [[2, 0, 1, 3], [1, 1, 0, 0], [0, 0, 0, 0.5]]
EXPECTED = [0.7058819, 0.2352941, 0.0588239]


def check(result, tolerance=1e-6):
    np.testing.assert_allclose(to_float64(result), EXPECTED, atol=tolerance)


def refused(status, argument, call, error=rr.Error):
    with pytest.raises(error) as raised:
        call()
    assert (raised.value.status, raised.value.argument) == (status, argument), raised.value
    assert str(raised.value).startswith(f"{argument}: ")
    return str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_results_are_of_the_kind_and_type_of_the_arguments(kind, dtype):
    whole, parts = array(kind, WHOLE, dtype), array(kind, PARTS, dtype)
    result = rr.contributions(whole, parts)
    assert is_of(kind, result) and result.dtype == whole.dtype
    check(result, 1e-3 if dtype == np.float16 else 1e-6)


def test_lists_are_arrays_of_numpy():
    result = rr.contributions(WHOLE, PARTS)
    assert isinstance(result, np.ndarray) and result.dtype == np.float64
    check(result)


@pytest.mark.parametrize("kind", KINDS)
def test_views_with_any_strides_are_read_where_they_lie(kind):
    whole, parts = array(kind, WHOLE), array(kind, PARTS)
    wide = array(kind, np.zeros((3, 8)))
    wide[:, ::2] = parts
    check(rr.contributions(whole, wide[:, ::2]))
    transposed = array(kind, np.array(PARTS).T)
    check(rr.contributions(whole, transposed.T))
    broadcast = np.broadcast_to(WHOLE, (5, 4)) if kind == "numpy" else whole.double().expand(5, 4)
    many = rr.contributions(broadcast, array(kind, np.repeat(np.array(PARTS)[:, None], 5, axis=1), np.float64))
    assert many.shape == (3, 5)
    check(many[:, 4])


def test_negative_strides_and_read_only_arrays_are_read():
    parts = np.array(PARTS, np.float32)[::-1, ::-1]
    whole = np.array(WHOLE, np.float32)[::-1]
    whole.flags.writeable = parts.flags.writeable = False
    np.testing.assert_allclose(rr.contributions(whole, parts), EXPECTED[::-1], atol=1e-6)


def test_integers_of_numpy_become_float64():
    result = rr.contributions(np.array(WHOLE, np.float32), np.array([[2, 0, 1, 3], [1, 1, 0, 0]], np.int32))
    assert result.dtype == np.float32
    result = rr.contributions(np.array([4, 4]), np.array([[1, 1], [3, 3]], np.uint8))
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, [0.25, 0.75], atol=1e-6)


def test_bfloat16_of_numpy_is_read_and_written():
    if ml_dtypes is None:
        pytest.skip("NumPy has no bfloat16 without ml_dtypes")
    result = rr.contributions(np.array(WHOLE, ml_dtypes.bfloat16), np.array(PARTS, ml_dtypes.bfloat16))
    assert result.dtype == ml_dtypes.bfloat16
    check(result, 2e-3)


def test_arrays_of_numpy_that_cannot_be_read_are_errors():
    whole, parts = np.array(WHOLE, np.float32), np.array(PARTS, np.float32)
    refused("byte_order", "whole", lambda: rr.contributions(whole.astype(">f4"), parts))
    packed = np.zeros(4, np.dtype([("a", "f4"), ("b", "u1")]))["a"]
    refused("strides", "whole", lambda: rr.contributions(packed, parts))
    shifted = np.zeros(17, np.uint8)[1:].view(np.float32)
    refused("misaligned", "whole", lambda: rr.contributions(shifted, parts))
    for dtype in (bool, np.complex64, np.longdouble, object, "U1"):
        refused("dtype", "parts", lambda: rr.contributions(whole, np.zeros((3, 4), dtype)), rr.UnsupportedArray)
    for other in (None, "text", object()):
        refused("dtype", "parts", lambda: rr.contributions(whole, other), TypeError)
    message = refused("shape", "parts", lambda: rr.contributions(whole, parts[:, :3]))
    assert message == "parts: expected [*, 4] to match whole, got [3, 3]"


def test_numbers_that_cannot_be_are_errors():
    for norm in (0.5, -1, float("nan")):
        refused("norm", "norm", lambda: rr.contributions(WHOLE, PARTS, norm=norm))
    refused("threshold", "threshold", lambda: rr.contributions(WHOLE, PARTS, threshold=float("nan")))
    refused("too_many_threads", "threads", lambda: rr.Context(5000))
    refused("number", "instruction_set", lambda: rr.Context(instruction_set="mmx"))


def test_errors_can_be_pickled():
    with pytest.raises(rr.Error) as raised:
        rr.contributions(WHOLE, PARTS, norm=0)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.status, again.argument) == (str(raised.value), "norm", "norm")


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_that_are_given_are_written_and_returned(kind):
    whole, parts, out = array(kind, WHOLE), array(kind, PARTS), array(kind, [[9, 9, 9], [9, 9, 9]])
    result = rr.contributions(whole, parts, out=out[1])
    check(out[1])
    assert (to_float64(out[0]) == 9).all()
    assert is_of(kind, result)
    of_parts, of_one_off = array(kind, [0, 0]), array(kind, 0.0, np.float64)
    first, second = rr.contributions(whole, parts[:2], parts[2], out=(of_parts, of_one_off))
    assert first is of_parts and second is of_one_off
    check(np.append(to_float64(of_parts), to_float64(of_one_off)))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_that_cannot_be_are_errors_and_stay_as_they_are(kind):
    whole, parts = array(kind, WHOLE), array(kind, PARTS)
    before = to_float64(parts).copy()
    refused("overlap", "out", lambda: rr.contributions(whole, parts, out=parts[0, :3]))
    one = array(kind, [7.0])
    repeated = np.lib.stride_tricks.as_strided(one, (3,), (0,)) if kind == "numpy" else one.expand(3)
    refused("self_overlap", "out", lambda: rr.contributions(whole, parts, out=repeated))
    refused("shape", "out", lambda: rr.contributions(whole, parts, out=array(kind, [0.0] * 4)))
    refused("dtype", "out", lambda: rr.contributions(whole, parts, out=array(kind, [0] * 3, np.int64)))
    refused("missing", "out", lambda: rr.contributions(whole, parts, parts[0], out=one))
    np.testing.assert_array_equal(to_float64(parts), before)
    assert to_float64(one) == [7]


def test_a_read_only_output_is_an_error():
    out = np.zeros(3)
    out.flags.writeable = False
    refused("read_only", "out", lambda: rr.contributions(WHOLE, PARTS, out=out))


@needs_torch
class TestOfTorch:
    def test_types_promote_as_torch_promotes_them(self):
        types = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8]
        for one in types:
            for other in types:
                whole, parts = torch.tensor([4, 4]).to(one), torch.tensor([[1, 1], [3, 3]]).to(other)
                expected = torch.promote_types(one, other)
                if not expected.is_floating_point:
                    expected = torch.get_default_dtype()
                assert rr.contributions(whole, parts).dtype == expected, (one, other)

    def test_a_view_of_another_sign_is_read_as_what_it_is(self):
        numbers = torch.complex(torch.zeros(3, 4), -torch.tensor(PARTS)).conj().imag
        assert numbers.is_neg()
        check(rr.contributions(torch.tensor(WHOLE), numbers))
        out = torch.complex(torch.zeros(3), torch.zeros(3)).conj().imag
        refused("read_only", "out", lambda: rr.contributions(torch.tensor(WHOLE), numbers, out=out))

    def test_a_parameter_is_read_and_results_have_no_gradient(self):
        parts = torch.nn.Parameter(torch.tensor(PARTS))
        result = rr.contributions(torch.tensor(WHOLE), parts)
        check(result)
        assert type(result) is torch.Tensor and not result.requires_grad
        out = torch.zeros(3, requires_grad=True)
        refused("read_only", "out", lambda: rr.contributions(torch.tensor(WHOLE), parts, out=out))

    def test_tensors_that_are_no_plain_memory_are_errors(self):
        whole, parts = torch.tensor(WHOLE), torch.tensor(PARTS)
        for bad in (parts.to_sparse(), parts.to("meta"), torch.nn.Parameter(parts.to("meta"))):
            message = refused("layout", "parts", lambda: rr.contributions(whole, bad), rr.UnsupportedArray)
            assert "\n" not in message
        for dtype in (torch.bool, torch.complex64, torch.float8_e4m3fn):
            refused("dtype", "parts", lambda: rr.contributions(whole, parts.to(dtype)), rr.UnsupportedArray)

    def test_a_whole_of_torch_and_parts_of_numpy_give_tensors(self):
        assert isinstance(rr.contributions(torch.tensor(WHOLE), np.array(PARTS)), torch.Tensor)
        assert isinstance(rr.contributions(np.array(WHOLE), torch.tensor(PARTS)), np.ndarray)

    def test_results_can_be_used_as_any_tensor(self):
        result = rr.contributions(torch.tensor(WHOLE), torch.tensor(PARTS))
        result += 1
        check(result - 1)
        assert result.is_contiguous() and result.device.type == "cpu"

    def test_a_torch_without_the_exchange_of_dlpack_is_read_by_its_older_protocol(self):
        program = """
            import torch, residual_routes as rr
            del torch.Tensor.__dlpack_c_exchange_api__
            whole, parts = torch.tensor([4.0, 4.0]), torch.nn.Parameter(torch.tensor([[1.0, 1.0], [3.0, 3.0]]))
            result = rr.contributions(whole, parts)
            assert type(result) is torch.Tensor, type(result)
            assert torch.allclose(result, torch.tensor([0.25, 0.75]), atol=1e-6)
            negative = torch.complex(torch.zeros(2, 2), -parts.detach()).conj().imag
            assert torch.allclose(rr.contributions(whole, negative), result)
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


class OnDevice:
    """An array on a device whose memory the host cannot read."""

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **options):
        raise AssertionError("not asked for")


class Older:
    """An array of a library that knows no versions of DLPack."""

    def __init__(self, values):
        self.values = values

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()

    def __dlpack__(self):
        return self.values.__dlpack__()


def test_whoever_speaks_dlpack_is_read():
    check(rr.contributions(np.array(WHOLE), Older(np.array(PARTS))))
    assert isinstance(rr.contributions(Older(np.array(WHOLE)), np.array(PARTS)), np.ndarray)
    message = refused("device", "parts", lambda: rr.contributions(WHOLE, OnDevice()), rr.UnsupportedArray)
    assert "copy it to the host first" in message
    refused("read_only", "out", lambda: rr.contributions(WHOLE, PARTS, out=Older(np.zeros(3))))


def test_a_namespace_of_the_array_api_gets_results_of_its_own():
    strict = pytest.importorskip("array_api_strict")
    whole, parts = strict.asarray(WHOLE), strict.asarray(PARTS)
    result = rr.contributions(whole, parts)
    assert type(result) is type(whole)
    check(np.from_dlpack(result))
