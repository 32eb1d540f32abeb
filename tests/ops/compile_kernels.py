"""Compile the fused kernels for compute capability 9.0, on any machine, and print the bytes of stack that each needs:
registers that did not suffice. A program, since Triton's interpreter and its compiler exclude each other in a process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from xmatch.ops import fused

FLOATS = {"fixed", "moving", "warp", "result", "gradient", "to_fixed", "to_moving"}


def stack_bytes(kernel, radius: int) -> int:
    fixed, padded = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 20, 20)
    _, options = fused._launch(fixed, padded, radius)
    options |= {"for_fixed": True, "for_moving": True}
    names = kernel.arg_names
    constant = {name for name, p in zip(names, kernel.params, strict=True) if p.is_constexpr}
    types = {name: "*fp32" if name in FLOATS else "fp32" if name == "scale" else "i32" for name in names}
    types |= dict.fromkeys(constant, "constexpr")
    source = ASTSource(kernel, types, constexprs={(names.index(name),): options[name] for name in constant})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": options["num_warps"]})
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        told = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    return int(re.search(r"STACK:(\d+)", told.stdout)[1])


if __name__ == "__main__":
    found = {}
    for radius in map(int, sys.argv[1:]):
        for kernel in (fused._forward, fused._backward):
            found[f"{kernel.fn.__name__} {radius}"] = stack_bytes(kernel, radius)
    print(json.dumps(found))
