"""The search-time cell's own loops for the CPU: compiled on first use, called through ctypes.

They need a C++ compiler (`$CXX`, or g++, or clang++) with OpenMP. Without one, `library()` is None, logs a
warning once, and callers use torch's own operations.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_double, c_int, c_int64, c_void_p
from pathlib import Path

import torch
from torch import Tensor

from search_spaces.cache import cache_folder, is_own
from search_spaces.genotype import CONCAT

_logger = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_suffix(".cpp")
_FLAGS = ("-O2", "-march=native", "-std=c++17", "-fopenmp", "-shared", "-fPIC")


class Shape(Structure):
    """Size of the inputs of a call; `pixel` is the number of elements from one pixel to the next."""

    _fields_ = [(name, c_int64) for name in ("batch", "height", "width", "channels", "stride", "pixel")]


class Job(Structure):
    """One separable convolution, forward or backward; see convolutions.h."""

    _fields_ = [
        *((name, c_void_p) for name in ("x", "depthwise", "pointwise", "prologue", "y", "sums")),
        ("kernel", c_int64),
        ("dilation", c_int64),
        *((name, c_void_p) for name in ("grad", "epilogue", "grad_x", "grad_depthwise", "grad_pointwise")),
        ("grad_pixel", c_int64),
        ("grad_x_pixel", c_int64),
        ("accumulate", c_int64),
    ]


class Term(Structure):
    """`scale * x + shift`, which is added to a map or multiplied by it; see maps.h."""

    _fields_ = [
        *((name, c_void_p) for name in ("x", "scale", "shift")),
        ("pixel", c_int64),
        ("map", c_void_p),
        ("map_pixel", c_int64),
    ]


class Product(Structure):
    """ReLU and a pointwise convolution, forward or backward; see products.h."""

    _fields_ = [
        *((name, c_void_p) for name in ("x", "weights", "y")),
        *((name, c_int64) for name in ("pixels", "inputs", "outputs", "x_pixel")),
        ("sums", c_void_p),
        ("grad", c_void_p),
        ("grad_pixel", c_int64),
        *((name, c_void_p) for name in ("epilogue", "grad_x", "grad_weights")),
    ]


class State(Structure):
    """A state of a cell that edges leave, and what they compute from it; see cell.h."""

    _fields_ = [
        ("x", c_void_p),
        ("pixel", c_int64),
        *((name, c_void_p) for name in ("convolutions", "pools", "norm", "skips")),
        ("skip_pixel", c_int64),
        ("skip_edge", c_int64),
    ]


class Cell(Structure):
    """A search-time cell with the addresses of all that it reads and computes; see cell.h."""

    _fields_ = [
        *((name, c_int64) for name in ("is_double", "batch", "height", "width", "channels", "stride")),
        *((name, c_int64) for name in ("is_training", "updates", "has_skip_convs")),
        ("eps", c_double),
        ("momentum", c_double),
        ("edges", c_void_p),
        ("weights", c_void_p),
        ("states", State * CONCAT[-1]),
        ("threads", c_int),
    ]


class Gradients(Structure):
    """The gradients of a state of a cell and of what its edges compute; see cell.h."""

    _fields_ = [
        ("nodes", c_void_p * len(CONCAT)),
        ("x", c_void_p),
        ("pixel", c_int64),
        ("accumulates", c_int64),
        ("has_identity_skips", c_int64),
        *((name, c_void_p) for name in ("pools", "grad_first", "skips", "weights")),
        ("needs_x", c_int64),
    ]


Observer = CFUNCTYPE(None, c_char_p, POINTER(Shape), c_void_p, c_int64, c_int64)
"""Gets a call before and after every loop: name, maps, jobs or terms, their number, whether it has ended.

Keep a reference to it until another one replaces it; the loops hold its address only.
"""

_SIGNATURES = {
    "observe": (Observer,),
    "forward": (c_int64, POINTER(Shape), POINTER(Job), c_int64, c_int),
    "backward": (c_int64, POINTER(Shape), POINTER(Job), c_int64, c_int),
    "combine": (c_int64, POINTER(Shape), POINTER(Term), c_int64, c_int),
    "dots": (c_int64, POINTER(Shape), POINTER(Term), c_int64, c_void_p, c_int),
    "product": (c_int64, POINTER(Product), c_int),
    "product_backward": (c_int64, POINTER(Product), c_int),
    "cell_edges": (POINTER(Cell), c_int64),
    "cell_node": (POINTER(Cell), c_int64, c_void_p, c_int64),
    "cell_backward": (POINTER(Cell), c_int64, POINTER(Gradients)),
}


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; None where they cannot be compiled or loaded."""
    try:
        return _load(_build())
    except (OSError, AttributeError, subprocess.SubprocessError) as error:
        _logger.warning(
            "no compiled search-time cell, the slower one in plain torch is used: %s", _reason(error)
        )
        return None


def _reason(error: Exception) -> str:
    """The line that says what failed: the compiler's first error, or the exception itself."""
    output: bytes = getattr(error, "stderr", None) or b""
    lines = output.decode(errors="replace").splitlines()
    return next((line for line in lines if "error" in line), str(error))


def _load(built: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(built))
    for name, arguments in _SIGNATURES.items():
        getattr(loaded, name).argtypes = arguments
        getattr(loaded, name).restype = None
    return loaded


def _build() -> Path:
    """Path of the loops compiled for this processor; they are compiled if they are not in the cache."""
    found = [name for name in ("g++", "clang++") if shutil.which(name)]
    compiler = shlex.split(os.environ.get("CXX", "")) or found[:1]
    if not compiler:
        raise FileNotFoundError("neither g++ nor clang++ is installed")
    # Machines that share a home directory may differ in what -march=native means.
    target = _run(*compiler, "-march=native", "-E", "-dM", "-x", "c++", os.devnull)
    sources = [path.read_bytes() for path in sorted([_SOURCE, *_SOURCE.parent.glob("*.h")])]
    key = hashlib.sha256(b"\0".join([target, *sources, " ".join(_FLAGS).encode()])).hexdigest()
    cache = cache_folder("kernels", is_private=True)
    built = cache / f"kernels-{key[:20]}.so"
    if not _is_whole(built):
        _logger.warning("compiling the search-time cell for this processor, once")
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            fresh = Path(folder) / built.name
            _run(*compiler, *_FLAGS, str(_SOURCE), "-o", str(fresh))
            fresh.chmod(0o600)
            digest = Path(folder) / "digest"
            digest.touch(0o600)
            digest.write_text(_digest(fresh))
            fresh.replace(built)
            digest.replace(_digest_file(built))
    return built


def _is_whole(built: Path) -> bool:
    """Whether the library is this user's alone and as it was compiled; to load a damaged one can be fatal."""
    kept = _digest_file(built)
    return is_own(built) and is_own(kept) and kept.read_bytes() == _digest(built).encode()


def _digest_file(built: Path) -> Path:
    return built.with_suffix(".sha256")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


def usable(x: Tensor) -> bool:
    """Whether the loops support the device and dtype of `x`, and there is anything to compute."""
    is_supported = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return is_supported and x.numel() > 0 and library() is not None


def pixel_stride(x: Tensor) -> int:
    """Elements of x [B, H, W, C] from one pixel to the next; torch gives a dimension of size 1 any stride."""
    shape, strides = x.shape, x.stride()
    for axis in (2, 1, 0):
        if shape[axis] > 1:
            return strides[axis]
    return shape[3]


def call(name: str, x: Tensor, stride: int, *arguments: object) -> None:
    """Call a loop on maps like `x` [B, H, W, C], channels contiguous.

    Tensors are handed over as pointers, lists as arrays with their length.
    """
    batch, height, width, channels = x.shape
    shape = Shape(batch, height, width, channels, stride, pixel_stride(x))
    plain: list[object] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            plain.append(argument.data_ptr())
        elif isinstance(argument, list):
            plain += [(type(argument[0]) * len(argument))(*argument), len(argument)]
        else:
            plain.append(argument)
    getattr(loops(), name)(x.dtype == torch.float64, shape, *plain, torch.get_num_threads())


def product(name: str, x: Tensor, job: Product) -> None:
    """Call `product` or `product_backward` on pixels of the dtype of `x`."""
    getattr(loops(), name)(x.dtype == torch.float64, byref(job), torch.get_num_threads())


def loops() -> ctypes.CDLL:
    """The compiled loops, for those who know that there are any (`usable`)."""
    loaded = library()
    assert loaded is not None, "callers ask usable() first"
    return loaded
