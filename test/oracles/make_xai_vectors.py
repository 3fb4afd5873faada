"""Makes test/vectors/xai/: checkpoints in the layout of xAI's release, and the logits of xAI's own code on them.

    pip install "jax==0.4.25" "jaxlib==0.4.25" "dm-haiku==0.0.12" "numpy==1.26.4" "ml_dtypes==0.3.2" "scipy<1.13"   # Python 3.11
    git clone https://github.com/xai-org/grok-1
    python test/oracles/make_xai_vectors.py grok-1 test/vectors/xai

Order and names come from JAX's flattening of the parameters that xAI's model.py makes; each tensor is pickled as checkpoint.py does.
The forward pass is xAI's, with its casts to bfloat16 taken out (see `exact`), on a mesh of as many devices as the scales have groups.

NAME.tar.gz   config.json and ckpt-0/tensorNNNNN_000, as a person has them
NAME.json     tokens, logits [tokens, vocab], and the name of each file's tensor by JAX
"""

import dataclasses
import gzip
import io
import json
import os
import pickle
import sys
import tarfile
import types

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax  # noqa: E402
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402

SOURCE, OUT = sys.argv[1:3]


def exact(text):
    """xAI's code computes in the type it is told, but for these places, which round to bfloat16 whatever it is told."""
    changes = [
        ("weight = weight * scales", "weight = weight.astype(jnp.float32) * scales.astype(jnp.float32)"),
        ("return w.astype(s.dtype) * s", "return w.astype(jnp.float32) * s.astype(jnp.float32)"),
        ("expert_gate[:, :, :, None].astype(jnp.bfloat16) * out", "expert_gate[:, :, :, None] * out"),
        ("out = out.astype(jnp.bfloat16)", "out = out.astype(jnp.float32)"),
    ]
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


model = types.ModuleType("model")
sys.modules["model"] = model
with open(os.path.join(SOURCE, "model.py")) as f:
    exec(compile(exact(f.read()), "model.py", "exec"), model.__dict__)
Quantized = model.QuantizedWeight8bit
Quantized.__module__ = "__main__"  # as in the release
sys.modules["__main__"].QuantizedWeight8bit = Quantized


def quantize(w, groups):
    """int8 with one bfloat16 scale for each group of rows of each column."""
    *lead, k, n = w.shape
    grouped = w.reshape(*lead, groups, k // groups, n)
    scales = (np.abs(grouped).max(-2) / 127).astype(ml_dtypes.bfloat16)
    s = np.maximum(scales.astype(np.float32), 1e-30)[..., None, :]
    q = np.clip(np.rint(grouped / s), -127, 127).astype(np.int8)
    return Quantized(q.reshape(w.shape), scales)


def release_groups(path, groups):
    """The release's: one group, but for what its model axis divides by rows."""
    return groups if path.endswith(("moe/linear_1", "multi_head_attention/linear")) else 1


def make(name, seed, kind, groups, config, fortran=False):
    rng = np.random.default_rng(seed)
    inner = dict(config["model"])
    lm = model.LanguageModelConfig(
        **{k: v for k, v in config.items() if k != "model"},
        **dict(pad_token=0, eos_token=2, fprop_dtype=jax.numpy.float32),
        model=model.TransformerConfig(**inner, shard_activations=True),
    )
    lm.initialize()
    lm.fprop_dtype = jax.numpy.float32
    devices = np.array(jax.devices()[:groups]).reshape(1, groups)
    mesh = jax.sharding.Mesh(devices, ("data", "model"))
    forward = model.hk.without_apply_rng(model.hk.transform(lambda tokens: lm.make(mesh=mesh)(tokens).logits))
    tokens = rng.integers(1, lm.vocab_size, (1, 24)).astype(np.int32)

    with mesh:
        shapes = jax.eval_shape(forward.init, jax.random.PRNGKey(0), tokens)
    leaves, tree = jax.tree_util.tree_flatten_with_path(shapes)
    stored, used, names = [], [], []
    for path, leaf in leaves:
        module, parameter = (key.key for key in path)
        names.append(f"{module}:{parameter}")
        shape = leaf.shape
        if parameter == "scale":
            w = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            fan = shape[-1] if parameter == "embeddings" else shape[-2]
            w = (rng.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)
        if parameter != "w" or module.endswith("router"):
            stored.append(w)
            used.append(w)
        elif kind == "int8":
            stored.append(quantize(w, release_groups(module, groups)))
            used.append(stored[-1])
        else:
            half = w.astype(ml_dtypes.bfloat16)
            stored.append(np.asfortranarray(half) if fortran and half.ndim == 2 else half)
            # xAI's experts run quantized weights only: the same numbers, times 1.
            ones = np.ones((*w.shape[:-2], release_groups(module, groups), w.shape[-1]), ml_dtypes.bfloat16)
            used.append(Quantized(half, ones))
    params = jax.tree_util.tree_unflatten(tree, used)
    with mesh:
        logits = jax.jit(forward.apply)(params, tokens)
    logits = np.asarray(logits, np.float32)[0]
    assert logits.shape == (24, lm.vocab_size) and np.isfinite(logits).all()

    files = {f"ckpt-0/tensor{i:05d}_000": pickle.dumps(value, protocol=4) for i, value in enumerate(stored)}
    files["config.json"] = json.dumps(config, indent=1).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file, data in files.items():
            info = tarfile.TarInfo(file)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, f"{name}.tar.gz"), "wb") as f:
        f.write(gzip.compress(packed.getvalue(), 9, mtime=0))
    expected = dict(tokens=tokens[0].tolist(), names=names, logits=[[round(float(x), 7) for x in row] for row in logits])
    with open(os.path.join(OUT, f"{name}.json"), "w") as f:
        json.dump(expected, f, separators=(",", ":"))
    print(name, len(stored), "tensors", logits.std(), os.path.getsize(os.path.join(OUT, f"{name}.tar.gz")))


def settings(layers, width, heads, kv_heads, key_size, factor, vocab, context, embedding, output, attention):
    return dict(
        vocab_size=vocab,
        sequence_len=context,
        embedding_multiplier_scale=embedding,
        output_multiplier_scale=output,
        model=dict(
            emb_size=width,
            widening_factor=factor,
            key_size=key_size,
            num_q_heads=heads,
            num_kv_heads=kv_heads,
            num_layers=layers,
            attn_output_multiplier=attention,
            num_experts=8,
            num_selected_experts=2,
        ),
    )


if __name__ == "__main__":
    # Layers 10 and 11 come before layer 2; the release's eight groups.
    make("int8-groups", 1, "int8", 8, settings(12, 16, 4, 2, 4, 1.5, 96, 64, 4.0, 0.5773502691896257, 0.5))
    # One group; heads that together are wider than the model; blocks of Q8_0 fit.
    make("int8", 2, "int8", 1, settings(1, 64, 6, 3, 16, 1.5, 64, 128, 78.38367176906169, 0.4, 0.25))
    # No quantization; some matrices in Fortran's order.
    make("bf16", 3, "bf16", 2, settings(2, 16, 2, 1, 24, 3, 80, 32, 1.0, 1.0, 0.3, ), fortran=True)
