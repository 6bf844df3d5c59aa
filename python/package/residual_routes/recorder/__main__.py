"""Records one forward pass of a Hugging Face causal model into a file that routes are found in.

    python -m residual_routes.recorder MODEL PROMPT -o OUT.safetensors
    python -m residual_routes.recorder MODEL @FILE  -o OUT.safetensors --tokens 512 --dtype f16
    python -m residual_routes.recorder MODEL @FILE  -o OUT-{}.safetensors --tokens 256,512

MODEL is the name of a repository on Hugging Face's hub, a folder, or a GGUF file."""

import argparse
import sys
import time
from pathlib import Path

import torch

from . import Refused, load, record


def show(done, n_layers):
    if sys.stderr.isatty():
        print(f"\rlayer {done} of {n_layers}", end="\n" if done == n_layers else "", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a repository, a folder, or a GGUF file")
    parser.add_argument("prompt", metavar="PROMPT", help="the text itself, or @FILE")
    parser.add_argument("-o", "--out", required=True, help="the file that is written")
    parser.add_argument("--tokens", metavar="N[,N...]",
                        help="the first so many tokens alone; several numbers make several files, whose names have them for {}")
    parser.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="f32",
                        help="of queries, keys, values, w_o and the pattern; the stream is recorded in f32")
    parser.add_argument("--pattern", action="store_true", help="the pattern too, which is pos * pos for each head")
    parser.add_argument("--weights", choices=["f32", "bf16", "f16"], default="f32",
                        help="the type in which the model is loaded and calculates")
    arguments = parser.parse_args()
    prompt = arguments.prompt
    if prompt.startswith("@"):
        prompt = Path(prompt[1:]).read_text(errors="replace")
    weights = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[arguments.weights]
    model, tokenizer = load(arguments.model, weights)
    ids = tokenizer(prompt).input_ids
    lengths = [len(ids)] if arguments.tokens is None else [int(number) for number in arguments.tokens.split(",")]
    if max(lengths) > len(ids) or min(lengths) < 1:
        parser.error(f"the prompt has {len(ids)} tokens, and {arguments.tokens} were asked for")
    if len(set(lengths)) > 1 and "{}" not in arguments.out:
        parser.error("several numbers of tokens need {} in the name of the file")
    for length in lengths:
        out = Path(arguments.out.replace("{}", str(length)))
        text = prompt if length == len(ids) else tokenizer.decode(ids[:length])
        start = time.perf_counter()
        try:
            record(model, ids[:length], out, tokenizer=tokenizer, prompt=text, name=Path(arguments.model).name,
                   dtype=arguments.dtype, with_pattern=arguments.pattern, progress=show)
        except Refused as refused:
            raise SystemExit(f"{arguments.model} cannot be recorded. {refused}") from None
        print(f"{out}: {length} tokens, {out.stat().st_size / 1e6:.0f} MB, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
