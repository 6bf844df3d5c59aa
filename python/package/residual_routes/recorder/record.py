"""Records a forward pass."""

import inspect
import json

import torch

from .attention import BY_ROWS, BY_SDPA, Capture
from .checks import check_attention, check_sum
from .errors import Refused
from .kept import Kept
from .norms import factor_of
from .scores import pattern_blocks
from .structure import as_rows, explore, first_tensor, given_to
from .texts import texts
from .writer import Writer

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# How many tokens show how the model is built.
TOKENS_TO_EXPLORE = 8
# How many of the most probable next tokens are recorded.
NEXT_TOKENS = 5
# Bytes that the metadata may take beside the tokens, the prompt, and some numbers for each head.
ROOM = 1 << 14
BYTES_OF_NUMBER = 32


class Recorder:
    """Keeps what a layer reads and writes while it runs, and writes it when it is done."""

    def __init__(self, plan, writer, dtype, with_pattern, computed_in, progress):
        self.plan, self.writer, self.dtype, self.with_pattern = plan, writer, dtype, with_pattern
        self.computed_in, self.progress = computed_in, progress
        self.kept = {}
        self.stream = None
        self.windows, self.sinks, self.slopes = [], [], []
        self.handles = []

    def attach(self, capture):
        self.capture = capture
        for index, block in enumerate(self.plan.blocks):
            self.on_call(block.layer, "resid_pre")
            if block.reads_mid is not None:
                self.on_call(block.reads_mid, "resid_mid")
            self.on_result(block.out_proj, "attn_written")
            self.on_result(block.attention_norm, "attn_normalised")
            self.on_result(block.mlp, "mlp_written")
            self.on_result(block.mlp_norm, "mlp_normalised")

            def done(_, args, output, index=index):
                self.layer(index, as_rows(first_tensor(output)).to("cpu", copy=True))

            self.handles.append(block.layer.register_forward_hook(done))

    def on_call(self, module, name):
        def keep(_, args, kwargs):
            self.kept[name] = as_rows(given_to(args, kwargs)).to("cpu", copy=True)

        self.handles.append(module.register_forward_pre_hook(keep, with_kwargs=True))

    def on_result(self, module, name):
        def keep(_, args, output):
            # What comes after may add to it in place.
            self.kept[name] = as_rows(first_tensor(output)).to("cpu", copy=True)

        if module is not None:
            self.handles.append(module.register_forward_hook(keep))

    def detach(self):
        for handle in self.handles:
            handle.remove()

    def layer(self, index, resid_post):
        """A layer is done."""
        kept, self.kept = self.kept, {}
        resid_pre, resid_mid = kept["resid_pre"], kept.get("resid_mid")
        if self.stream is not None and not torch.equal(self.stream, resid_pre):
            raise Refused(f"The model changes the stream between layers {index - 1} and {index}.")
        self.stream = resid_post
        attended, of_attention = self.attention(index, kept)
        of_mlp = self.mlp(index, kept)
        mlp_parts = [part.expand_as(resid_pre) for part in of_mlp.values() if part is not None]
        if resid_mid is None:
            check_sum("resid_pre, attention and the MLP differ from resid_post", index, [resid_pre, attended, *mlp_parts],
                      resid_post, self.computed_in)
        else:
            check_sum("resid_pre and attention differ from resid_mid", index, [resid_pre, attended], resid_mid,
                      self.computed_in)
            check_sum("resid_mid and the MLP differ from resid_post", index, [resid_mid, *mlp_parts], resid_post,
                      self.computed_in)
        tensors = {"resid_pre": resid_pre, "resid_mid": resid_mid, **of_mlp, **of_attention}
        for name, tensor in tensors.items():
            if tensor is not None:
                self.writer.write(f"{name}.{index}", finite(f"{name}.{index}", tensor, self.dtype))
        self.progress(index + 1, len(self.plan.blocks))

    def attention(self, index, kept):
        """What attention adds to the stream, and what is recorded of it."""
        block, plan, written = self.plan.blocks[index], self.plan, kept["attn_written"]
        heads = self.capture.take(block.attention)
        self.keep_facts(heads)
        # One scale is recorded for all layers.
        heads.queries = heads.queries * (heads.scale / plan.heads[0].scale)
        heads.scale = plan.heads[0].scale
        heads = heads.converted(self.dtype)
        w_o, bias = output_of(block.out_proj, heads)
        w_o, bias = (plan.multiplier * w_o).to(self.dtype), None if bias is None else plan.multiplier * bias
        check_attention(index, heads, w_o, bias, plan.multiplier * written, self.computed_in)
        factor, added = None, written
        if block.attention_norm is not None:
            added = kept["attn_normalised"]
            factor = factor_of(block.attention_norm, written, added).float()
            check_sum("what attention writes times the factor of its norm differs from what the norm writes", index,
                      [written * factor], added, self.computed_in)
            bias = None if bias is None else bias * factor
        return plan.multiplier * added.float(), {
            "attn_bias": bias, "attn_scale": factor, "queries": heads.queries, "keys": heads.keys, "values": heads.values,
            "w_o": w_o, "pattern": pattern_blocks(heads) if self.with_pattern else None,
        }

    def mlp(self, index, kept):
        """What is recorded of what the MLP adds to the stream."""
        block, added = self.plan.blocks[index], kept["mlp_written"]
        bias = None if block.mlp_bias is None else block.mlp_bias.detach().to("cpu", torch.float32)
        if block.mlp_norm is not None:
            added = kept["mlp_normalised"]
            if bias is not None:
                bias = bias * factor_of(block.mlp_norm, kept["mlp_written"], added).float()
        added = self.plan.multiplier * added.float()
        if bias is None:
            return {"mlp_out": added, "mlp_bias": None}
        bias = self.plan.multiplier * bias
        return {"mlp_out": added - bias, "mlp_bias": bias}

    def keep_facts(self, heads):
        self.windows.append(heads.window)
        self.sinks.append(None if heads.sinks is None else heads.sinks.float().tolist())
        self.slopes.append(None if heads.slopes is None else heads.slopes.float().tolist())


def finite(name, tensor, dtype):
    """The tensor, or blocks as they come. Numbers that a type cannot hold are no recording."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if not torch.isfinite(tensor.float()).all():
        raise Refused(f"{name} has numbers that are not finite, or that {dtype} cannot hold.")
    return tensor


def output_of(out_proj, heads):
    """By what each head writes into the stream, `[head, d_head, d_model]`, and the bias."""
    weight = out_proj.weight.detach().to("cpu")
    # A Linear has the outputs first, GPT-2's Conv1D the inputs.
    if isinstance(out_proj, torch.nn.Linear):
        weight = weight.T
    expected = heads.n_heads * heads.values.shape[2]
    if weight.shape[0] != expected:
        raise Refused(f"The matrix by which attention writes reads {weight.shape[0]} numbers, and heads have {expected}.")
    bias = getattr(out_proj, "bias", None)
    return weight.reshape(heads.n_heads, -1, weight.shape[1]), None if bias is None else bias.detach().float().cpu()


def announced(plan, n_pos, d_model, dtype, with_pattern):
    """The tensors of the file, in the order in which they are written."""
    single = torch.float32
    heads = plan.heads[0]
    n_heads, d_query = heads.queries.shape[1:]
    n_kv_heads, d_value = heads.values.shape[1:]
    stream = (n_pos, d_model)
    # The stream stays in f32: contributions are made of differences of its rows. What comes after a tensor of halves needs an even
    # number of them before it.
    for index, block in enumerate(plan.blocks):
        mlp_bias = None if block.mlp_bias is None else (stream if block.mlp_norm is not None else (d_model,))
        attn_bias = None
        if getattr(block.out_proj, "bias", None) is not None:
            attn_bias = stream if block.attention_norm is not None else (d_model,)
        tensors = [
            ("resid_pre", single, stream),
            ("resid_mid", single, None if plan.is_parallel else stream),
            ("mlp_out", single, stream),
            ("mlp_bias", single, mlp_bias),
            ("attn_bias", single, attn_bias),
            ("attn_scale", single, stream if block.attention_norm is not None else None),
            ("queries", dtype, (n_pos, n_heads, d_query)),
            ("keys", dtype, (n_pos, n_kv_heads, d_query)),
            ("values", dtype, (n_pos, n_kv_heads, d_value)),
            ("w_o", dtype, (n_heads, d_value, d_model)),
            ("pattern", dtype, (n_heads, n_pos, n_pos) if with_pattern else None),
        ]
        for name, of, shape in tensors:
            if shape is not None:
                odd = torch.Size(shape).numel() % 2 == 1
                yield f"{name}.{index}", single if odd else of, shape
    yield "resid_post", single, stream


def per_layer(numbers):
    """One for all layers where they agree, otherwise a list; as JSON."""
    alike = all(number == numbers[0] for number in numbers)
    return json.dumps(numbers[0] if alike else numbers)


def next_tokens(logits, tokenizer):
    probabilities, ids = torch.softmax(logits.detach().float().cpu(), dim=-1).topk(min(NEXT_TOKENS, logits.shape[-1]))
    names = texts(tokenizer, ids.tolist()) if tokenizer else [str(number) for number in ids.tolist()]
    return json.dumps(list(zip(names, [round(number, 6) for number in probabilities.tolist()])))


def show_nothing(done, n_layers):
    pass


def metadata_of(plan, model, d_model, ids, tokenizer, prompt, name):
    """What is known of the model and the prompt before the prompt is read."""
    first = plan.heads[0]
    metadata = {
        "model": name or getattr(model.config, "name_or_path", "") or type(model).__name__,
        "n_layers": str(len(plan.blocks)), "n_heads": str(first.n_heads), "n_kv_heads": str(first.n_kv_heads),
        "d_model": str(d_model), "d_head": str(first.values.shape[2]), "scale": repr(first.scale),
        "tokens": json.dumps(texts(tokenizer, ids) if tokenizer else [str(number) for number in ids]),
    }
    if prompt is not None:
        metadata["prompt"] = prompt
    if first.soft_cap:
        metadata["soft_cap"] = repr(first.soft_cap)
    if plan.is_parallel:
        metadata["parallel"] = "true"
    return metadata


@torch.no_grad()
def record(model, ids, out, *, tokenizer=None, prompt=None, name=None, dtype="f32", with_pattern=False,
           progress=show_nothing):
    """Runs the model on these tokens and writes what routes read into the file `out`, or into a `Kept`.

    `ids`: a list, or a tensor `[pos]` or `[1, pos]`. `tokenizer`: for the texts of tokens. `prompt`, `name`: the text and the name
    of the model, as metadata. `dtype`: of queries, keys, values, w_o and the pattern, "f32", "f16" or "bf16"; the stream is
    recorded in f32. `progress`: called with how many layers are done, and how many there are.

    Raises `Refused` where the model does something that the recording could not say; there is no file then. One recording at a
    time in a process."""
    ids = torch.as_tensor(ids).reshape(1, -1).to(model.device)
    if ids.shape[1] == 0:
        raise Refused("A prompt has at least one token.")
    was_training = model.training
    model.eval()
    try:
        run(model, ids, out, tokenizer, prompt, name, DTYPES[dtype], with_pattern, progress)
    finally:
        model.train(was_training)


def run(model, ids, out, tokenizer, prompt, name, dtype, with_pattern, progress):
    plan = explore(model, ids[:, :TOKENS_TO_EXPLORE])
    first = plan.heads[0]
    d_model = output_of(plan.blocks[0].out_proj, first)[0].shape[2]
    metadata = metadata_of(plan, model, d_model, ids[0].tolist(), tokenizer, prompt, name)
    room = len(json.dumps(metadata)) + ROOM + len(plan.blocks) * (2 * first.n_heads + 1) * BYTES_OF_NUMBER
    options = {"use_cache": False}
    # Logits of all positions of a long prompt may be the largest tensor of all.
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        options["logits_to_keep"] = 1
    capture = Capture(model)
    tensors = announced(plan, ids.shape[1], d_model, dtype, with_pattern)
    with out.begin(tensors) if isinstance(out, Kept) else Writer(out, tensors, room) as writer:
        recorder = Recorder(plan, writer, dtype, with_pattern, next(model.parameters()).dtype, progress)
        try:
            with capture.attached(BY_ROWS if plan.by_rows else BY_SDPA):
                recorder.attach(capture)
                logits = model(input_ids=ids, **options).logits[0, -1]
        finally:
            recorder.detach()
        writer.write("resid_post", finite("resid_post", recorder.stream, torch.float32))
        for key, numbers in (("window", recorder.windows), ("sinks", recorder.sinks), ("slopes", recorder.slopes)):
            if any(numbers):
                metadata[key] = per_layer(numbers)
        metadata["next_tokens"] = next_tokens(logits, tokenizer)
        writer.finish(metadata)
