"""The tiny models of the tests: what each architecture is, as far as a forward pass depends on it."""

from dataclasses import dataclass, field

D_MODEL, N_FF, N_CTX, N_EXPERTS, N_EXPERTS_USED = 64, 96, 1024, 4, 2
EPSILON = 1e-5


@dataclass(frozen=True)
class Family:
    """Fields that are left out are those of llama."""

    architecture: str
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    d_head: int = 16
    # "rms" or "layer" (with a bias)
    norm: str = "rms"
    # None, "adjacent" pairs or "halves"
    rope: str | None = "adjacent"
    rope_base_window: float | None = None
    is_fused: bool = False
    has_biases: bool = False
    qkv_biases: bool = False
    # Whether attention and MLP read the same stream; "two norms": each its own normalisation of it.
    parallel: str | None = None
    post_norms: bool = False
    query_key_norms: bool = False
    # "swiglu", "geglu", "gelu" or "experts"
    mlp: str = "swiglu"
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    # None: 1 / sqrt(d_head)
    score_scale: float | None = None
    soft_cap: float = 0.0
    window: int = 0
    # Every so many layers one has no window.
    window_pattern: int = 1
    sinks: bool = False
    learned_positions: bool = False
    alibi: float = 0.0
    metadata: dict = field(default_factory=dict)

    def window_of(self, layer):
        return self.window if self.window and layer % self.window_pattern < self.window_pattern - 1 else 0


FAMILIES = {
    "llama": Family("llama"),
    "gpt2": Family("gpt2", kv_heads=4, norm="layer", rope=None, is_fused=True, has_biases=True, qkv_biases=True, mlp="gelu",
                   learned_positions=True),
    "falcon": Family("falcon", kv_heads=1, norm="layer", rope="halves", is_fused=True, parallel="one norm", mlp="gelu"),
    "falcon-40b": Family("falcon", norm="layer", rope="halves", is_fused=True, parallel="two norms", mlp="gelu"),
    "phi2": Family("phi2", kv_heads=4, norm="layer", rope="halves", has_biases=True, qkv_biases=True, parallel="one norm",
                   mlp="gelu"),
    "gemma2": Family("gemma2", layers=4, rope="halves", post_norms=True, mlp="geglu", embedding_scale=D_MODEL**0.5,
                     soft_cap=4.0, window=8, window_pattern=2, d_head=32),
    "gemma3": Family("gemma3", layers=6, rope="halves", rope_base_window=10000.0, post_norms=True, query_key_norms=True,
                     mlp="geglu", embedding_scale=D_MODEL**0.5, window=8, window_pattern=6, kv_heads=1),
    "granite": Family("granite", embedding_scale=3.0, residual_scale=0.22, score_scale=0.1),
    "gpt-oss": Family("gpt-oss", layers=4, rope="halves", has_biases=True, qkv_biases=True, mlp="experts", window=8,
                      window_pattern=2, sinks=True),
}
