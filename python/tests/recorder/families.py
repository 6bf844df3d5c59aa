"""Tiny random models of many families, made of configurations: nothing is downloaded."""

import torch
import transformers
from transformers import AutoModelForCausalLM

TOKENS, VOCABULARY = 13, 50
SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24,
    "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}
SHARED = {**SMALL, "num_key_value_heads": 2}
GPT2 = {"vocab_size": VOCABULARY, "n_positions": 64, "n_embd": 16, "n_layer": 3, "n_head": 4, "bos_token_id": 0,
        "eos_token_id": 0}
GEMMA = {**SHARED, "head_dim": 8, "query_pre_attn_scalar": 5, "sliding_window": 4, "num_hidden_layers": 4}
FALCON = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "bos_token_id": 0,
          "eos_token_id": 0}
EXPERTS = {**SHARED, "num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}

# The class of the configuration, and what it is given.
RECORDED = {
    "llama": ("LlamaConfig", SHARED),
    "llama_with_biases": ("LlamaConfig", {**SHARED, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("MistralConfig", {**SHARED, "sliding_window": 5}),
    "mixtral": ("MixtralConfig", {**EXPERTS, "sliding_window": None}),
    "qwen2": ("Qwen2Config", {**SHARED, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}),
    "qwen3": ("Qwen3Config", {**SHARED, "head_dim": 8}),
    "smollm3": ("SmolLM3Config", {**SHARED, "no_rope_layers": [1, 0, 1]}),
    "gpt2": ("GPT2Config", GPT2),
    "gpt2_scaled_by_layer": ("GPT2Config", {**GPT2, "scale_attn_by_inverse_layer_idx": True}),
    "gptj": ("GPTJConfig", {**GPT2, "rotary_dim": 4}),
    "codegen": ("CodeGenConfig", {**GPT2, "rotary_dim": 4}),
    "gpt_neox": ("GPTNeoXConfig", {**SMALL, "use_parallel_residual": True}),
    "gpt_neox_in_turn": ("GPTNeoXConfig", {**SMALL, "use_parallel_residual": False}),
    "opt": ("OPTConfig", {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": 16}),
    "phi": ("PhiConfig", {**SHARED, "qk_layernorm": True}),
    "phi3": ("Phi3Config", SHARED),
    "falcon": ("FalconConfig", FALCON),
    "falcon_new": ("FalconConfig", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon_in_turn": ("FalconConfig", {**FALCON, "parallel_attn": False, "multi_query": False, "bias": True}),
    "gemma": ("GemmaConfig", {**SHARED, "head_dim": 8}),
    "gemma2": ("Gemma2Config", {**GEMMA, "attn_logit_softcapping": 2.0}),
    "gemma3": ("Gemma3TextConfig", GEMMA),
    "granite": ("GraniteConfig", {**SHARED, "residual_multiplier": 0.3, "attention_multiplier": 0.4,
                                  "attention_bias": True}),
    "stablelm": ("StableLmConfig", SHARED),
    "stablelm_parallel": ("StableLmConfig", {**SHARED, "use_parallel_residual": True, "qk_layernorm": True}),
    "olmo": ("OlmoConfig", SHARED),
    "olmo2": ("Olmo2Config", SHARED),
    "cohere": ("CohereConfig", {**SHARED, "use_qk_norm": True}),
    "starcoder2": ("Starcoder2Config", {**SHARED, "sliding_window": 6}),
    "gpt_oss": ("GptOssConfig", {**EXPERTS, "head_dim": 8, "sliding_window": 4, "num_hidden_layers": 4}),
    "bloom": ("BloomConfig", {"vocab_size": VOCABULARY, "hidden_size": 24, "n_layer": 3, "n_head": 6}),
    "mpt": ("MptConfig", {"vocab_size": VOCABULARY, "d_model": 16, "n_layers": 3, "n_heads": 4, "max_seq_len": 64}),
    "mpt_clipped": ("MptConfig", {"vocab_size": VOCABULARY, "d_model": 16, "n_layers": 3, "n_heads": 4, "max_seq_len": 64,
                                  "attn_config": {"clip_qkv": 0.2}}),
}

# What a recording has no place for, and a part of the sentence that says so.
REFUSED = {
    "opt_normed_after_sum": ("OPTConfig", {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": 16,
                                           "do_layer_norm_before": False}, "differ from"),
    "bloom_normed_residual": ("BloomConfig", {"vocab_size": VOCABULARY, "hidden_size": 16, "n_layer": 3, "n_head": 4,
                                              "apply_residual_connection_post_layernorm": True}, "differ from"),
    "falcon_alibi": ("FalconConfig", {**FALCON, "alibi": True, "parallel_attn": False}, "differ from"),
    "gpt_neo": ("GPTNeoConfig", {"vocab_size": VOCABULARY, "hidden_size": 16, "num_layers": 3, "num_heads": 4,
                                 "attention_types": [[["global"], 3]], "bos_token_id": 0, "eos_token_id": 0},
                "attention whose queries and keys can be had"),
    "mamba": ("MambaConfig", {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2},
              "attention whose queries and keys can be had"),
    "qwen3_next": ("Qwen3NextConfig", {**SHARED, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2,
                                       "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
                                       "layer_types": ["full_attention"] * 3}, "differ from"),
}


def make(kind, options, dtype=torch.float32):
    """A model whose weights are so large that its patterns are far from even, and whose biases and norms are not those of a new
    model."""
    torch.manual_seed(7)
    config = getattr(transformers, kind)(**options)
    model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    for name, weight in model.named_parameters():
        size = 0.4 if weight.dim() > 1 else 0.3
        shift = weight.detach().mean() if weight.dim() == 1 else 0
        weight.data = (shift + size * torch.randn(weight.shape)).to(dtype)
    return model


def tokens():
    return torch.randint(1, VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(3))
