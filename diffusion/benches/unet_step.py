"""What `unet_step.rs` asks, asked of PyTorch: pip install torch diffusers, then run this file.

`PLAYHOUSE_BENCH_WEIGHTS` is `f32` unless it says `bf16`: weights and all numbers in between are torch.bfloat16 then.
"""

import os
import time

import torch
from diffusers import UNet2DConditionModel

TIMED = int(os.environ.get("PLAYHOUSE_BENCH_STEPS", 5))
WEIGHTS = os.environ.get("PLAYHOUSE_BENCH_WEIGHTS", "f32")
DTYPE = {"f32": torch.float32, "bf16": torch.bfloat16}[WEIGHTS]

torch.manual_seed(0)
torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count())))
unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768).eval().to(DTYPE)
sample = torch.randn(1, 4, 64, 64, dtype=DTYPE)
context = torch.randn(1, 77, 768, dtype=DTYPE)
seconds = []
with torch.inference_mode():
    for run in range(TIMED + 1):
        if run == 1:
            work = time.process_time()
        begin = time.perf_counter()
        unet(sample, 500, context).sample
        seconds.append(time.perf_counter() - begin)
work = (time.process_time() - work) / TIMED
seconds = sorted(seconds[1:])
print(
    f"unet_step.py: {WEIGHTS}: median {seconds[TIMED // 2]:.2f} s, best {seconds[0]:.2f} s, "
    f"{work:.2f} s of work, "
    f"{torch.get_num_threads()} threads, torch {torch.__version__}"
)
