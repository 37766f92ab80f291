"""A BERT in torch that the tests wrote for themselves, and every mistake that a port may make, one at a time.

It shares no line with the package: plain functions on a dictionary of weights, gradients by autograd.  `port_dump`
returns what an engineer would dump: inputs, taps, gradients.  `mistake` names what is done wrong, `where` the layer (or
None: everywhere).

Read from `Port.embeddings` on: the mistakes stand where a port makes them.
"""

import math

import torch
from torch.nn import functional as tf


class Port:
    """One run of the port."""

    def __init__(self, weights, config, mistake="", where=None, dtype=torch.float32, seed=0):
        self.w = {name: torch.tensor(array, dtype=dtype) for name, array in weights.items()}
        for tensor in self.w.values():
            tensor.requires_grad_()
        self.config, self.mistake, self.where, self.dtype = config, mistake, where, dtype
        self.taps = {}
        self.generator = torch.Generator().manual_seed(seed)

    def wrong(self, *mistakes, layer=None):
        """Whether one of these mistakes is made here."""
        return self.mistake in mistakes and (layer is None or self.where is None or layer == self.where)

    def tap(self, name, value):
        if value.requires_grad:
            value.retain_grad()
        self.taps[name] = value
        return value

    def path(self, path, layer):
        """The path of a layer's weights, or of those that it takes by mistake."""
        if layer is None or not self.wrong("weights of another layer", layer=layer):
            return path
        return path.replace(f"layer.{layer}.", f"layer.{(layer + 1) % self.config.num_hidden_layers}.")

    # ---- pieces ----

    def linear(self, x, path, layer=None, bias=None):
        path = self.path(path, layer)
        weight, bias = self.w[f"{path}.weight"], self.w[bias or f"{path}.bias"]
        if self.wrong("query bias missing", layer=layer) and path.endswith("query"):
            bias = torch.zeros_like(bias)
        if self.wrong("decoder bias missing") and path == "decoder":
            bias = torch.zeros_like(bias)
        if self.wrong("linear transposed", layer=layer) and path.endswith(("self.value", "transform.dense")):
            weight = weight.T
        if self.wrong("fp16 weights"):
            weight, bias = weight.half().to(weight.dtype), bias.half().to(bias.dtype)
        if self.wrong("weight gradient of the last sequence", layer=layer) and layer is not None and x.ndim == 3:
            return LastSequenceOnly.apply(x, weight, bias)
        return x @ weight.T + bias

    def norm(self, x, path, layer=None):
        path = self.path(path, layer)
        gain, shift, eps = self.w[f"{path}.weight"], self.w[f"{path}.bias"], self.config.layer_norm_eps
        if self.wrong("fp16 weights"):
            gain, shift = gain.half().to(gain.dtype), shift.half().to(shift.dtype)
        if self.wrong("gamma and beta not loaded", layer=layer):
            gain, shift = torch.ones_like(gain), torch.zeros_like(shift)
        if self.wrong("gamma outside of the backward", layer=layer):
            return GainOutside.apply(x, gain, shift, eps)
        mean = x.mean(-1, keepdim=True)
        if self.wrong("RMSNorm", layer=layer):
            mean = torch.zeros_like(mean)
        if self.wrong("mean constant in the backward", "mean and variance constant in the backward", layer=layer):
            mean = mean.detach()
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        if self.wrong("variance constant in the backward", "mean and variance constant in the backward", layer=layer):
            variance = variance.detach()
        root = torch.sqrt(variance + eps)
        for value in (1e-3, 1e-5, 1e-6):
            if self.wrong(f"epsilon {value:g}", layer=layer):
                root = torch.sqrt(variance + value)
        if self.wrong("epsilon 1e-05 outside the root", layer=layer):
            root = torch.sqrt(variance) + 1e-5
        if self.wrong("n-1 variance", layer=layer):
            root = torch.sqrt(x.var(-1, keepdim=True) + eps)
        y = gain * (x - mean) / root + shift
        return x + y if self.wrong("x + LN(x)", layer=layer) else y

    def act(self, x, layer=None):
        if self.wrong("tanh for erf", layer=layer):
            return tf.gelu(x, approximate="tanh")
        if self.wrong("relu for gelu", layer=layer):
            return tf.relu(x)
        if self.wrong("tanh gradient of erf", layer=layer):
            return TanhGradient.apply(x)
        if self.wrong("quick GELU", layer=layer):
            return x * torch.sigmoid(1.702 * x)
        if self.wrong("SiLU", layer=layer):
            return tf.silu(x)
        return tf.gelu(x)

    def dropout(self, x, p):
        keep = torch.rand(x.shape, generator=self.generator) >= p
        return x * keep / (1 - p)

    # ---- BERT ----

    def embeddings(self, ids, segments):
        c = self.config
        words = self.w["embeddings.word_embeddings.weight"]
        positions = self.w["embeddings.position_embeddings.weight"]
        kinds = self.w["embeddings.token_type_embeddings.weight"]
        if self.wrong("fp16 weights"):
            words, positions, kinds = (table.half().to(table.dtype) for table in (words, positions, kinds))
        at = torch.arange(ids.shape[1])
        if self.wrong("positions off by one"):
            at = at + 1
        if self.wrong("token types all 0"):
            segments = torch.zeros_like(segments)
        if self.wrong("embedding gradient assigned"):
            word = Assigned.apply(words, ids)
        else:
            table = words.detach() if self.wrong("look-up without gradient") else words
            word = tf.embedding(ids, table, padding_idx=c.pad_token_id)
        if self.wrong("words times the root of H"):
            word = word * math.sqrt(c.hidden_size)
        position = positions[at]
        if self.wrong("sinusoidal positions"):
            H = c.hidden_size
            angle = torch.arange(ids.shape[1]).double()[:, None] / 10000 ** (2 * (torch.arange(H) // 2).double() / H)
            position = torch.where(torch.arange(H) % 2 == 0, angle.sin(), angle.cos()).to(self.dtype)
        word = self.tap("embeddings.word_embeddings", word)
        position = self.tap("embeddings.position_embeddings", position[None] + 0)
        kind = self.tap("embeddings.token_type_embeddings", kinds[segments])
        if self.wrong("words times the root of H in the sum"):
            total = self.tap("embeddings.add", word * math.sqrt(c.hidden_size) + position + kind)
        else:
            total = self.tap("embeddings.add", word + position + kind)
        y = self.tap("embeddings.LayerNorm", self.norm(total, "embeddings.LayerNorm", layer=-1))
        return self.tap("embeddings", self.dropout(y, 0.1) if self.wrong("dropout left on") else y + 0)

    def heads(self, x, layer):
        B, S, H = x.shape
        A = 1 if self.wrong("one head", layer=layer) else self.config.num_attention_heads
        if self.wrong("heads interleaved", layer=layer):
            return x.reshape(B, S, H // A, A).permute(0, 3, 1, 2)
        return x.reshape(B, S, A, H // A).permute(0, 2, 1, 3)

    def attention(self, x, mask, layer):
        path = f"encoder.layer.{layer}.attention.self"
        source = x
        values = x if not self.wrong("values of the embeddings", layer=layer) else self.taps["embeddings"]
        if self.wrong("pre-LN", layer=layer):
            values = source = self.norm(x, f"encoder.layer.{layer}.attention.output.LayerNorm", layer)
        q, k, v = (
            self.tap(f"{path}.{name}", self.linear(x, f"{path}.{name}", layer))
            for name, x in (("query", source), ("key", source), ("value", values))
        )
        q, k, v = (self.heads(t, layer) for t in (q, k, v))
        scale = 1.0 if self.wrong("no scale", layer=layer) else 1 / math.sqrt(q.shape[-1])
        product = q @ k.transpose(-1, -2)
        scaled = product * scale
        if self.wrong("scores not scaled in the backward", layer=layer):
            scaled = product + (scaled - product).detach()
        scores = self.tap(f"{path}.scores", scaled)
        if self.wrong("one token of padding seen", layer=layer):
            mask = tf.pad(mask, (1, 0), value=1)[:, :-1]
        if self.wrong("last token hidden", layer=layer):
            mask = tf.pad(mask, (0, 1), value=0)[:, 1:]
        hidden = (mask == 0)[:, None, None, :]
        if self.wrong("mask on the queries", layer=layer):
            hidden = hidden.transpose(-1, -2)
        if not self.wrong("mask dropped", "mask after softmax", layer=layer):
            scores = scores.masked_fill(hidden, torch.finfo(self.dtype).min)
        if self.wrong("causal mask", layer=layer):
            later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, torch.finfo(self.dtype).min)
        probs = scores.softmax(-1)
        if self.wrong("softmax without its sum in the backward", layer=layer):
            powers = (scores - scores.detach().max(-1, keepdim=True).values).exp()
            probs = powers / powers.sum(-1, keepdim=True).detach()
        if self.wrong("diagonal of softmax in the backward", layer=layer):
            probs = DiagonalOnly.apply(scores)
        if self.wrong("mask after softmax", layer=layer):
            probs = probs + hidden * torch.tensor(-10000.0, dtype=self.dtype)
        probs = self.tap(f"{path}.probs", probs)
        if self.wrong("attention dropout at the hidden rate", layer=layer):
            probs = self.dropout(probs, self.config.hidden_dropout_prob)
        probs = self.tap(f"{path}.dropout", probs + 0)
        context = probs @ v
        context = (
            context.permute(0, 2, 3, 1) if self.wrong("heads interleaved", layer=layer) else context.permute(0, 2, 1, 3)
        )
        return self.tap(f"{path}.context", context.reshape(x.shape))

    def output(self, x, residual, path, layer):
        dense = self.tap(f"{path}.dense", self.linear(x, f"{path}.dense", layer))
        if self.wrong("residual without gradient", layer=layer):
            residual = residual.detach()
        total = self.tap(f"{path}.add", dense + residual)
        if self.wrong("pre-LN", layer=layer):
            return self.tap(path, total + 0)
        if self.wrong("residual after the norm", layer=layer):
            return self.tap(path, self.norm(dense, f"{path}.LayerNorm", layer) + residual)
        norm = f"{path}.LayerNorm"
        if self.wrong("norms exchanged", layer=layer):
            other = "output" if ".attention." in path else "attention.output"
            norm = f"encoder.layer.{layer}.{other}.LayerNorm"
        return self.tap(path, self.norm(total, norm, layer))

    def layer(self, x, mask, i):
        path = f"encoder.layer.{i}"
        attended = self.output(self.attention(x, mask, i), x, f"{path}.attention.output", i)
        source = self.norm(attended, f"{path}.output.LayerNorm", i) if self.wrong("pre-LN", layer=i) else attended
        wide = self.tap(f"{path}.intermediate.dense", self.linear(source, f"{path}.intermediate.dense", i))
        wide = self.tap(f"{path}.intermediate.act", self.act(wide, i))
        return self.output(wide, attended, f"{path}.output", i)

    def run(self, inputs):
        mask = inputs["attention_mask"]
        x = self.embeddings(inputs["input_ids"], inputs["token_type_ids"])
        L = self.config.num_hidden_layers
        before = x
        for i in range(int(str(L)[0]) if self.wrong("layers from one digit") else L):
            before, x = x, self.layer(x, mask, i)
        if self.wrong("layers from one digit"):
            x = self.tap(f"encoder.layer.{L - 1}.output", x + 0)
        index = 1 if self.wrong("pooler of the wrong token") else 0
        token = self.tap("pooler.token", x[:, index])
        pooled = self.tap("pooler", self.tap("pooler.dense", self.linear(token, "pooler.dense")).tanh())
        return self.pretraining(before if self.wrong("head one layer early") else x, pooled, inputs)

    def pretraining(self, x, pooled, inputs):
        path = "cls.predictions.transform"
        h = self.tap(f"{path}.dense", self.linear(x, f"{path}.dense", layer=-2))
        h = self.tap(f"{path}.act", h + 0 if self.wrong("MLM head without GELU") else self.act(h, layer=-2))
        h = self.tap(path, h + 0 if self.wrong("MLM head without LayerNorm") else self.norm(h, f"{path}.LayerNorm", -2))
        self.w["decoder.weight"] = self.w["embeddings.word_embeddings.weight"]
        if self.wrong("decoder not tied"):
            self.w["decoder.weight"] = torch.randn(self.w["decoder.weight"].shape, generator=self.generator).to(
                self.dtype
            )
        if self.wrong("decoder without gradient"):
            self.w["decoder.weight"] = self.w["decoder.weight"].detach()
        logits = self.tap("cls.predictions", self.linear(h, "decoder", bias="cls.predictions.bias"))
        nsp = self.tap("cls.seq_relationship", self.linear(pooled, "cls.seq_relationship"))
        words = self.mlm_loss(logits, inputs["labels"], inputs["input_ids"])
        ignored = 0 if self.wrong("NSP loss with ignore_index 0") else -100
        loss = words + tf.cross_entropy(nsp, inputs["next_sentence_label"], ignore_index=ignored)
        if self.wrong("NSP loss left out"):
            loss = words
        if self.wrong("MLM loss left out"):
            loss = loss - words
        return self.tap("loss", loss)

    def mlm_loss(self, logits, labels, ids):
        live = labels != -100
        if self.wrong("softmax before the loss"):
            logits = logits.softmax(-1)
        if self.wrong("gradient of the logits summed"):
            logits.register_hook(lambda gradient: gradient * live.sum())
        each = tf.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").reshape(labels.shape)
        if self.wrong("MLM loss over all positions"):
            return tf.cross_entropy(logits.flatten(0, 1), torch.where(live, labels, ids).flatten())
        if self.wrong("mean-reduced loss times mask"):
            mean = tf.cross_entropy(logits.flatten(0, 1), torch.where(live, labels, 0).flatten())
            return (mean * live).mean()
        if self.wrong("loss summed"):
            return each[live].sum()
        return each[live].mean()


# ---- wrong gradients --------------------------------------------------------


class GainOutside(torch.autograd.Function):
    """LayerNorm whose backward multiplies by the gain at the end."""

    @staticmethod
    def forward(ctx, x, gain, shift, eps):
        centred = x - x.mean(-1, keepdim=True)
        rstd = 1 / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(centred * rstd, rstd, gain)
        return gain * centred * rstd + shift

    @staticmethod
    def backward(ctx, dy):
        unit, rstd, gain = ctx.saved_tensors
        means = dy.mean(-1, keepdim=True) + unit * (dy * unit).mean(-1, keepdim=True)
        axes = tuple(range(dy.ndim - 1))
        return gain * rstd * (dy - means), (dy * unit).sum(axes), dy.sum(axes), None


class TanhGradient(torch.autograd.Function):
    """GELU of erf, differentiated as if it were that of tanh."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return tf.gelu(x)

    @staticmethod
    def backward(ctx, dy):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            y = tf.gelu(x, approximate="tanh")
        return torch.autograd.grad(y, x, dy)[0]


class DiagonalOnly(torch.autograd.Function):
    """Softmax, differentiated as if each probability depended on its own score alone."""

    @staticmethod
    def forward(ctx, scores):
        probs = scores.softmax(-1)
        ctx.save_for_backward(probs)
        return probs

    @staticmethod
    def backward(ctx, dprobs):
        (probs,) = ctx.saved_tensors
        return dprobs * probs * (1 - probs)


class Assigned(torch.autograd.Function):
    """A look-up whose backward assigns: the last of equal ids wins."""

    @staticmethod
    def forward(ctx, table, ids):
        ctx.save_for_backward(table, ids)
        return table[ids]

    @staticmethod
    def backward(ctx, dy):
        table, ids = ctx.saved_tensors
        dtable = torch.zeros_like(table)
        for id_, gradient in zip(ids.flatten().tolist(), dy.flatten(0, 1), strict=True):
            dtable[id_] = gradient
        dtable[0] = 0  # the row of padding, as in the reference
        return dtable, None


class LastSequenceOnly(torch.autograd.Function):
    """A linear layer whose weight has the gradient of the last sequence, not of the batch."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        return dy @ weight, dy[-1].T @ x[-1], dy[-1].sum(0)


def port_dump(weights, config, inputs, mistake="", where=None, dtype="float32", gradients=False, max_grad_norm=None):
    """{name: array} of everything the port has computed, with the inputs."""
    port = Port(weights, config, mistake, where, getattr(torch, dtype))
    loss = port.run({name: torch.from_numpy(array) for name, array in inputs.items()})
    dump = {**inputs, **{name: tensor.detach().numpy() for name, tensor in port.taps.items()}}
    if not gradients:
        return dump
    for _ in range(2 if mistake == "gradients of two batches added" else 1):
        loss.backward(retain_graph=True)
    for name, tensor in port.taps.items():
        if tensor.grad is not None:
            dump[f"d {name}"] = tensor.grad.numpy()
    of_weights = {name: w.grad for name, w in port.w.items() if name in weights and w.grad is not None}
    if max_grad_norm is not None:
        total = math.sqrt(sum(float((g**2).sum()) for g in of_weights.values()))
        for name, g in of_weights.items():
            norm = float(g.norm()) if mistake == "clipping per tensor" else total
            of_weights[name] = g * min(1.0, max_grad_norm / (norm + 1e-6))
        import numpy as np

        dump["max_grad_norm"] = np.array(max_grad_norm)
    return {**dump, **{f"d {name}": g.numpy() for name, g in of_weights.items()}}
