"""What `decode.rs` asks, asked of transformers on PyTorch and of llama.cpp, with the same file, tokens and threads.

    pip install torch transformers accelerate gguf llama-cpp-python
    python language/benches/decode.py MODEL.gguf        # or PLAYHOUSE_SMOLLM2=MODEL.gguf
    PLAYHOUSE_SMOLLM2=MODEL.gguf cargo bench -p language --bench decode

transformers gets the weights dequantised to f32, which is what ours computes with; llama.cpp computes on the quantised
weights and with rounded activations, so it does less work. What is not installed is left out. THREADS sets the
number of threads (RAYON_NUM_THREADS for ours). Compare numbers of one machine at rest only.
"""

import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")

PROMPT_TOKENS = 512
REPLY_TOKENS = 64
CONVERSATION_TOKENS = 2000
THREADS = int(os.environ.get("THREADS", os.cpu_count()))
PROMPT = [1000 + i * 37 % 20_000 for i in range(PROMPT_TOKENS)]
CONVERSATION = [1000 + i * 41 % 20_000 for i in range(CONVERSATION_TOKENS)]
TOKEN = 1234


def say(name, what, value):
    print(f"{name:14} {what:30} {value:8.1f} tokens/s", flush=True)


def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measure(name, read, forget):
    """`read` reads tokens after those read before and waits for the last one's scores; `forget` begins anew."""
    for attempt in ("cold", "again"):
        forget()
        say(name, f"read {PROMPT_TOKENS} tokens, {attempt}", PROMPT_TOKENS / timed(lambda: read(PROMPT)))
    for context in (16, PROMPT_TOKENS):
        forget()
        read(PROMPT[:context])
        speeds = []
        for _ in range(3):
            seconds = timed(lambda: [read([TOKEN]) for _ in range(REPLY_TOKENS)])
            speeds.append(REPLY_TOKENS / seconds)
        say(name, f"write, 1 x context {context}", sorted(speeds)[1])
    forget()
    print(f"{name:14} first token after {CONVERSATION_TOKENS} tokens {timed(lambda: read(CONVERSATION)):8.3f} s")


def with_transformers(path):
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    torch.set_num_threads(THREADS)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    state = {}

    def forget():
        state["cache"] = DynamicCache(config=model.config)

    def read(tokens):
        with torch.inference_mode():
            ids = torch.tensor([tokens])
            # Only the last position's scores, as ours.
            model(ids, past_key_values=state["cache"], use_cache=True, logits_to_keep=1).logits[0, -1].max()

    measure("transformers", read, forget)
    print(f"transformers   {torch.get_num_threads()} threads, torch {torch.__version__}, {model.dtype}")


def with_llama_cpp(path):
    from llama_cpp import Llama, __version__

    model = Llama(
        str(path), n_ctx=4096, n_batch=512, n_threads=THREADS, n_threads_batch=THREADS, n_gpu_layers=0, verbose=False
    )
    measure("llama.cpp", model.eval, model.reset)
    print(f"llama.cpp      {THREADS} threads, llama-cpp-python {__version__}, weights as in the file")


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PLAYHOUSE_SMOLLM2")
    if not path:
        sys.exit(__doc__)
    path = Path(path).resolve()
    wanted = os.environ.get("ONLY", "transformers llama.cpp").split()
    for name, run in (("transformers", with_transformers), ("llama.cpp", with_llama_cpp)):
        if name not in wanted:
            continue
        try:
            run(path)
        except ImportError as error:
            print(f"{name:14} left out: {error}")
    print(f"peak memory    {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
