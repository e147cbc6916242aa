"""What `picture_ends.rs` asks, asked of PyTorch: pip install torch diffusers transformers, then run this file."""

import os
import time

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel

torch.manual_seed(0)
torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count())))


def measure(what, runs, work):
    work()
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    seconds.sort()
    print(f"picture_ends.py: {what}: median {seconds[runs // 2]:.3f} s, best {seconds[0]:.3f} s", flush=True)


ids = torch.tensor([[49406 - at * 7 for at in range(77)]])
shapes = {
    "text encoder of 1.5": dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12),
    "second text encoder of XL": dict(
        hidden_size=1280, intermediate_size=5120, num_attention_heads=20, num_hidden_layers=32, hidden_act="gelu"
    ),
}
with torch.inference_mode():
    for name, shape in shapes.items():
        encoder = CLIPTextModel(CLIPTextConfig(**shape)).eval()
        measure(name, 9, lambda: encoder(ids))
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    ).eval()
    latents = torch.randn(1, 4, 64, 64)
    measure("decoder, 512 × 512", 3, lambda: vae.decode(latents).sample)
print(f"picture_ends.py: {torch.get_num_threads()} threads, torch {torch.__version__}")
