"""One encoder and its named heads."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, SqueezeBertConfig
from sqbert_cli.model.encoder import Encoder
from sqbert_cli.model.heads import VectorHead, make_head


class Network(nn.Module):
    """An encoder with any number of heads, each reading the same vectors."""

    def __init__(self, config: SqueezeBertConfig, heads: Iterable[HeadConfig] = ()) -> None:
        super().__init__()
        self.config = config
        self.transformer = Encoder(config)
        self.heads = nn.ModuleDict()
        for head in heads:
            self.add_head(head)

    def add_head(self, head: HeadConfig) -> None:
        if head.name in self.heads:
            raise SqbertError(f"two heads are called `{head.name}`", hint="give one of them another name")
        if hasattr(self.heads, head.name):
            raise SqbertError(
                f"a head cannot be called `{head.name}`, which is a word of torch's own", hint="give it another name"
            )
        self.heads[head.name] = make_head(head, self.config, self.transformer.embeddings.word_embeddings)

    def forward(self, head: str, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Return what one head says.

        *Shapes:* (B, T) three times -> as the head: (B, L), (B, T, L), (B, T, 2), (B, T, V) or (B, C).
        """
        return self.heads[head](self.transformer(input_ids, attention_mask, token_type_ids))


def initialise(module: nn.Module, initializer_range: float, generator: torch.Generator) -> None:
    """Draw every matrix from N(0, `initializer_range`), as the reference does; biases 0, norms 1, padding 0.

    A head for vectors leaves them as they are.
    """
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            with torch.no_grad():
                if isinstance(part, nn.LayerNorm):
                    parameter.fill_(float(name == "weight"))
                elif name == "bias":
                    parameter.zero_()
                else:
                    parameter.normal_(0, initializer_range, generator=generator)
        if isinstance(part, VectorHead):
            part.start()
        if isinstance(part, nn.Embedding) and part.padding_idx is not None:
            with torch.no_grad():
                part.weight[part.padding_idx].zero_()
