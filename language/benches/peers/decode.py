"""What `decode.rs` asks, asked of transformers on PyTorch and of llama.cpp, with the same file, tokens and threads.

    pip install torch transformers accelerate gguf llama-cpp-python
    python language/benches/peers/decode.py MODEL.gguf        # or PLAYHOUSE_SMOLLM2=MODEL.gguf

By itself it measures what is installed, and leaves out the rest. The bench starts it as `decode.py MODEL.gguf --answer
llama.cpp` (PLAYHOUSE_PEER_PYTHON names the Python) and measures itself and the peer in turns, so that both meet the same
load:

    PLAYHOUSE_SMOLLM2=MODEL.gguf PLAYHOUSE_PEER_PYTHON=python cargo bench -p language --bench decode

transformers gets the weights dequantised to f32, which is what ours computes with; llama.cpp computes on the quantised
weights and with activations rounded to eight bits, so it does less work. THREADS sets the number of threads
(RAYON_NUM_THREADS for ours).
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


def answer(read, forget):
    """Does what each line of the input says and answers with the seconds that it took, by the clock and of the processor."""
    position = 0
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        begin, processor = time.perf_counter(), time.process_time()
        if words[0] == "forget":
            forget()
            position = 0
        elif words[0] == "read":
            read([1000 + i * 37 % 20_000 for i in range(position, position + int(words[1]))])
            position += int(words[1])
        elif words[0] == "write":
            for _ in range(int(words[1])):
                read([TOKEN])
            position += int(words[1])
        else:
            sys.exit(f"{words[0]}: forget, read N and write N are known")
        print(time.perf_counter() - begin, time.process_time() - processor, flush=True)


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


def with_transformers(path, measure):
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


def with_llama_cpp(path, measure):
    from llama_cpp import Llama, __version__

    model = Llama(
        str(path), n_ctx=4096, n_batch=512, n_threads=THREADS, n_threads_batch=THREADS, n_gpu_layers=0, verbose=False
    )
    measure("llama.cpp", model.eval, model.reset)
    print(f"llama.cpp      {THREADS} threads, llama-cpp-python {__version__}, weights as in the file")


KINDS = {"transformers": with_transformers, "llama.cpp": with_llama_cpp}


def main():
    arguments = sys.argv[1:]
    answers = arguments.pop() if len(arguments) > 1 and arguments[-2] == "--answer" else None
    arguments = [argument for argument in arguments if argument != "--answer"]
    path = arguments[0] if arguments else os.environ.get("PLAYHOUSE_SMOLLM2")
    if not path or answers not in (None, *KINDS):
        sys.exit(__doc__)
    path = Path(path).resolve()
    if answers:
        KINDS[answers](path, lambda _name, read, forget: answer(read, forget))
        return
    wanted = os.environ.get("ONLY", " ".join(KINDS)).split()
    for name, run in KINDS.items():
        if name not in wanted:
            continue
        try:
            run(path, measure)
        except ImportError as error:
            print(f"{name:14} left out: {error}")
    print(f"peak memory    {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
