"""What this machine's processor multiplies fast, read from what the kernel says of it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

INSTRUCTIONS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """A processor's instructions, as far as number formats depend on them.

    Attributes:
        architecture: ``x86_64``, ``aarch64`` ...
        flags: the kernel's names of its instruction sets.
    """

    architecture: str
    flags: frozenset[str]

    @property
    def bfloat16(self) -> bool:
        """Whether it multiplies matrices of bfloat16 in hardware."""
        return bool(self.flags & {"amx_bf16", "avx512_bf16", "bf16"})

    @property
    def exact_int8(self) -> bool:
        """Whether sums of unsigned times signed bytes go straight to 32 bits.

        Without such an instruction (x86 before VNNI) two products are first added in 16 bits, and
        what does not fit is cut off. Weights of 7 bits always fit.
        """
        if self.architecture not in ("x86_64", "AMD64", "i686"):
            return True
        return bool(self.flags & {"avx512_vnni", "avx_vnni", "amx_int8", "avx10_1"})

    @property
    def fast_int8(self) -> bool:
        """Whether bytes are multiplied faster than float32 at all."""
        if self.architecture == "aarch64":
            return "asimddp" in self.flags
        return "avx2" in self.flags or self.exact_int8

    def slow(self, dtype: str) -> str | None:
        """One sentence if this processor computes slowly in a number format, else None."""
        if dtype == "bfloat16" and not self.bfloat16:
            return (
                "this processor has no bfloat16 arithmetic (AMX, AVX512-BF16, Arm BF16): bfloat16 "
                "takes several times as long as float32"
            )
        if dtype == "float16" and "asimdhp" not in self.flags and "avx512_fp16" not in self.flags:
            return "this processor has no float16 arithmetic: float16 takes longer than float32"
        if dtype == "int8" and not self.fast_int8:
            return "this processor multiplies bytes no faster than float32"
        return None


@cache
def this_processor() -> Processor:
    """The processor that this process runs on."""
    flags: set[str] = set()
    try:
        for line in INSTRUCTIONS.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                flags |= set(value.split())
                break
    except OSError:
        pass
    return Processor(platform.machine(), frozenset(flags))


def threads() -> int:
    """How many threads a computation gets: ``OMP_NUM_THREADS``, else one per physical core."""
    import psutil

    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if said.isdigit() and int(said) > 0:
        return int(said)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, psutil.cpu_count(logical=False) or allowed or 1))
