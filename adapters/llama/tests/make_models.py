"""Writes the tiny random models of families.py as GGUF files, and some that must be refused.

    python make_models.py FOLDER
"""

import pathlib
import sys
import zlib

import gguf
import numpy as np
from families import D_MODEL, EPSILON, FAMILIES, N_CTX, N_EXPERTS, N_EXPERTS_USED, N_FF
from gguf import GGMLQuantizationType as Type

SPECIAL = ["<unk>", "<s>", "</s>"]
N_VOCAB = len(SPECIAL) + 256


class Writer:
    """A GGUF file with random weights, and the numbers that the file then has."""

    def __init__(self, path, architecture, kind, seed):
        self.file = gguf.GGUFWriter(path, architecture)
        self.random = np.random.default_rng(seed)
        self.kind = kind

    def put(self, name, numbers, kind=None):
        numbers = np.ascontiguousarray(numbers, np.float32)
        kind = self.kind if kind is None else kind
        if kind == Type.F32:
            self.file.add_tensor(name, numbers)
        else:
            self.file.add_tensor(name, gguf.quants.quantize(numbers, kind), raw_dtype=kind)

    def matrix(self, name, *shape):
        self.put(name, self.random.normal(size=shape) / np.sqrt(shape[-1]))

    def vector(self, name, *shape, around=0.0):
        self.put(name, around + 0.2 * self.random.normal(size=shape), Type.F32)

    def norm(self, name, kind="rms", n=D_MODEL):
        self.vector(name + ".weight", n, around=1.0)
        if kind == "layer":
            self.vector(name + ".bias", n)

    def vocabulary(self):
        """A token for each byte."""
        file = self.file
        file.add_tokenizer_model("llama")
        file.add_token_list(SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)])
        file.add_token_scores([0.0] * N_VOCAB)
        file.add_token_types([2, 3, 3] + [6] * 256)
        file.add_bos_token_id(1)
        file.add_eos_token_id(2)
        file.add_unk_token_id(0)
        file.add_add_space_prefix(False)

    def close(self):
        self.file.write_header_to_file()
        self.file.write_kv_data_to_file()
        self.file.write_tensors_to_file()
        self.file.close()


def write(path, family, kind, seed):
    w = Writer(path, family.architecture, kind, seed)
    file = w.file
    file.add_context_length(N_CTX)
    file.add_embedding_length(D_MODEL)
    file.add_block_count(family.layers)
    file.add_feed_forward_length(N_FF)
    file.add_head_count(family.heads)
    file.add_head_count_kv(family.kv_heads)
    file.add_vocab_size(N_VOCAB)
    if family.heads * family.d_head != D_MODEL:
        file.add_key_length(family.d_head)
        file.add_value_length(family.d_head)
    if family.rope:
        file.add_rope_dimension_count(family.d_head)
    if family.norm == "rms":
        file.add_layer_norm_rms_eps(EPSILON)
    else:
        file.add_layer_norm_eps(EPSILON)
    if family.window:
        file.add_sliding_window(family.window)
    if family.soft_cap:
        file.add_attn_logit_softcapping(family.soft_cap)
        file.add_final_logit_softcapping(30.0)
    if family.architecture == "granite":
        file.add_embedding_scale(family.embedding_scale)
        file.add_residual_scale(family.residual_scale)
        file.add_attention_scale(family.score_scale)
        file.add_logit_scale(2.0)
    if family.mlp == "experts":
        file.add_expert_count(N_EXPERTS)
        file.add_expert_used_count(N_EXPERTS_USED)
        file.add_expert_feed_forward_length(N_FF)
    w.vocabulary()

    q, kv = family.heads * family.d_head, family.kv_heads * family.d_head
    w.put("token_embd.weight", 0.5 * w.random.normal(size=(N_VOCAB, D_MODEL)))
    if family.learned_positions:
        w.put("position_embd.weight", 0.5 * w.random.normal(size=(N_CTX, D_MODEL)), Type.F32)
    for i in range(family.layers):
        block = f"blk.{i}."
        w.norm(block + "attn_norm", family.norm)
        if family.parallel == "two norms":
            w.norm(block + "attn_norm_2", family.norm)
        parts = {"attn_qkv": q + 2 * kv} if family.is_fused else {"attn_q": q, "attn_k": kv, "attn_v": kv}
        for name, rows in parts.items():
            w.matrix(block + name + ".weight", rows, D_MODEL)
            if family.qkv_biases:
                w.vector(block + name + ".bias", rows)
        if family.query_key_norms:
            w.norm(block + "attn_q_norm", n=family.d_head)
            w.norm(block + "attn_k_norm", n=family.d_head)
        w.matrix(block + "attn_output.weight", D_MODEL, q)
        if family.has_biases:
            w.vector(block + "attn_output.bias", D_MODEL)
        if family.sinks:
            w.vector(block + "attn_sinks.weight", family.heads)
        # gpt-oss calls the norm before its MLP by the name of another one's norm after attention.
        if family.post_norms or family.mlp == "experts":
            w.norm(block + "post_attention_norm")
        if family.post_norms:
            w.norm(block + "post_ffw_norm")
        if not family.parallel and family.mlp != "experts":
            w.norm(block + "ffn_norm", family.norm)
        if family.mlp == "experts":
            w.matrix(block + "ffn_gate_inp.weight", N_EXPERTS, D_MODEL)
            w.vector(block + "ffn_gate_inp.bias", N_EXPERTS)
            for name, rows, columns in ("gate", N_FF, D_MODEL), ("up", N_FF, D_MODEL), ("down", D_MODEL, N_FF):
                w.matrix(block + f"ffn_{name}_exps.weight", N_EXPERTS, rows, columns)
                w.vector(block + f"ffn_{name}_exps.bias", N_EXPERTS, rows)
            continue
        names = ["ffn_up"] if family.mlp == "gelu" else ["ffn_gate", "ffn_up"]
        for name in names:
            w.matrix(block + name + ".weight", N_FF, D_MODEL)
            if family.has_biases:
                w.vector(block + name + ".bias", N_FF)
        w.matrix(block + "ffn_down.weight", D_MODEL, N_FF)
        if family.has_biases:
            w.vector(block + "ffn_down.bias", D_MODEL)
    w.norm("output_norm", family.norm)
    if family.architecture != "gemma2":
        w.matrix("output.weight", N_VOCAB, D_MODEL)
    if family.architecture == "phi2":
        w.vector("output.bias", N_VOCAB)
    w.close()


def write_bert(path):
    w = Writer(path, "bert", Type.F32, 1)
    file = w.file
    file.add_context_length(N_CTX)
    file.add_embedding_length(D_MODEL)
    file.add_block_count(2)
    file.add_feed_forward_length(N_FF)
    file.add_head_count(4)
    file.add_layer_norm_eps(EPSILON)
    file.add_causal_attention(False)
    file.add_token_type_count(2)
    file.add_vocab_size(N_VOCAB)
    w.vocabulary()
    w.matrix("token_embd.weight", N_VOCAB, D_MODEL)
    w.matrix("token_types.weight", 2, D_MODEL)
    w.matrix("position_embd.weight", N_CTX, D_MODEL)
    w.norm("token_embd_norm", "layer")
    for i in range(2):
        block = f"blk.{i}."
        for name in "attn_q", "attn_k", "attn_v", "attn_output":
            w.matrix(block + name + ".weight", D_MODEL, D_MODEL)
        w.norm(block + "attn_output_norm", "layer")
        w.matrix(block + "ffn_up.weight", N_FF, D_MODEL)
        w.matrix(block + "ffn_down.weight", D_MODEL, N_FF)
        w.norm(block + "layer_output_norm", "layer")
    w.close()


def write_mamba(path):
    w = Writer(path, "mamba", Type.F32, 2)
    inner, state, rank, kernel = 2 * D_MODEL, 16, 4, 4
    file = w.file
    file.add_context_length(N_CTX)
    file.add_embedding_length(D_MODEL)
    file.add_block_count(2)
    file.add_feed_forward_length(0)
    file.add_head_count(0)
    file.add_layer_norm_rms_eps(EPSILON)
    file.add_ssm_conv_kernel(kernel)
    file.add_ssm_inner_size(inner)
    file.add_ssm_state_size(state)
    file.add_ssm_time_step_rank(rank)
    file.add_vocab_size(N_VOCAB)
    w.vocabulary()
    w.matrix("token_embd.weight", N_VOCAB, D_MODEL)
    for i in range(2):
        block = f"blk.{i}."
        w.norm(block + "attn_norm")
        w.matrix(block + "ssm_in.weight", 2 * inner, D_MODEL)
        w.matrix(block + "ssm_conv1d.weight", inner, kernel)
        w.vector(block + "ssm_conv1d.bias", inner)
        w.matrix(block + "ssm_x.weight", rank + 2 * state, inner)
        w.matrix(block + "ssm_dt.weight", inner, rank)
        w.vector(block + "ssm_dt.bias", inner)
        w.put(block + "ssm_a", -np.ones((inner, state)))
        w.vector(block + "ssm_d", inner)
        w.matrix(block + "ssm_out.weight", D_MODEL, inner)
    w.norm("output_norm")
    w.close()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, family in FAMILIES.items():
        for suffix, kind in ("f32", Type.F32), ("f16", Type.F16), ("q8_0", Type.Q8_0):
            write(folder / f"{name}-{suffix}.gguf", family, kind, zlib.crc32(name.encode()))
    write_bert(folder / "bert.gguf")
    write_mamba(folder / "mamba.gguf")
    whole = (folder / "llama-f32.gguf").read_bytes()
    (folder / "truncated.gguf").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "no-model.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    (folder / "not-a-gguf.gguf").write_bytes(b"once upon a time\n" * 99)


if __name__ == "__main__":
    main()
