"""Text classification: many texts at once, in batches of like length."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from fault import Fault
from records import ABSENT, Parameters, Record

# Padded tokens per forward pass; small on a CPU, so that activations stay in its cache.
TOKENS_PER_BATCH = {"cpu": 512, "cuda": 16384}
# Tokenizers that know no limit carry 1e30.
NO_LIMIT = 1_000_000

Scores = NDArray[np.float32]
Features = dict[str, list[int]]
# What json.dumps takes, in the shapes of the transformers pipeline.
Answer = object


class Classifier:
    """A sequence classification model with its tokenizer, in fp32 on one device."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, device: str
    ) -> None:
        self.model = model.float().eval().to(device)
        self.tokenizer = tokenizer
        self.device = device
        self.labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
        self.limit = _limit(model, tokenizer)
        self._pad = DataCollatorWithPadding(tokenizer)

    @classmethod
    def load(cls, model_dir: str | Path, device: str) -> "Classifier":
        """Load a model artifact; raise a server fault that says why it cannot serve."""
        try:
            tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                model_dir, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        except (
            OSError,
            ValueError,
            RuntimeError,
            KeyError,
            TypeError,
            AttributeError,
            ImportError,
            SafetensorError,
        ) as error:
            raise Fault("model_not_loaded", f"{error}", fault="server") from error
        # Where files are missing, transformers 5 makes a tokenizer that knows no word.
        vocabularies = tokenizer.vocab_files_names.values()
        if vocabularies and not any((Path(model_dir) / name).is_file() for name in vocabularies):
            raise Fault(
                "model_not_loaded",
                f"the tokenizer has no file: one of {', '.join(vocabularies)} is needed",
                fault="server",
            )
        # And it fills what a checkpoint lacks with random numbers, and only warns.
        missing = sorted(loading["missing_keys"])
        if missing:
            raise Fault(
                "model_not_loaded",
                f"the weights lack {', '.join(missing[:4])}: this is no fine-tuned classifier",
                fault="server",
            )
        return cls(model, tokenizer, device)

    def answer(self, records: Sequence[Record], *, verbose: bool) -> list[Answer]:
        """Answer each record in the shape of the transformers pipeline, or by its own Fault.

        The verbose shape holds every class, in class order, whatever top_k says.
        """
        encoded: list[Features] = []
        spans: list[range | Fault] = []
        for features in self._encode(records):
            if isinstance(features, Fault):
                spans.append(features)
                continue
            spans.append(range(len(encoded), len(encoded) + len(features)))
            encoded.extend(features)
        logits = self._logits(encoded)
        return [
            span
            if isinstance(span, Fault)
            else self._shape(record, logits[span.start : span.stop], verbose)
            for record, span in zip(records, spans, strict=True)
        ]

    def _encode(self, records: Sequence[Record]) -> list[list[Features] | Fault]:
        texts = [
            (text, record.parameters.truncation) for record in records for text in record.texts
        ]
        features: list[Features] = [{} for _ in texts]
        for truncation in {truncation for _, truncation in texts}:
            chosen = [i for i, (_, truncates) in enumerate(texts) if truncates == truncation]
            cut = truncation and self.limit is not None
            encoded = self.tokenizer(
                [texts[i][0] for i in chosen],
                truncation=cut,
                max_length=self.limit if cut else None,
            )
            for position, i in enumerate(chosen):
                features[i] = {name: values[position] for name, values in encoded.items()}
        remaining = iter(features)
        return [self._fitting([next(remaining) for _ in record.texts]) for record in records]

    def _fitting(self, features: list[Features]) -> list[Features] | Fault:
        longest = max((len(feature["input_ids"]) for feature in features), default=0)
        if self.limit is None or longest <= self.limit:
            return features
        return Fault(
            "too_long",
            f"a text has {longest} tokens, the model reads {self.limit}: shorten it, or leave "
            "truncation on",
        )

    def _logits(self, encoded: Sequence[Features]) -> Scores:
        """Logits of shape (texts, classes), in the order given."""
        logits = np.empty((len(encoded), len(self.labels)), dtype=np.float32)
        for batch in self._batches([len(features["input_ids"]) for features in encoded]):
            inputs = self._tensors([encoded[i] for i in batch])
            with torch.inference_mode():
                logits[batch] = self.model(**inputs).logits.cpu().numpy()
        return logits

    def _tensors(self, features: list[Features]) -> dict[str, torch.Tensor]:
        # A tokenizer without a pad token cannot pad, nor does one text need it.
        padded = (
            {name: torch.tensor([ids]) for name, ids in features[0].items()}
            if len(features) == 1
            else self._pad(features)
        )
        return {name: tensor.to(self.device) for name, tensor in padded.items()}

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        can_pad = self.tokenizer.pad_token_id is not None
        budget = TOKENS_PER_BATCH[torch.device(self.device).type] if can_pad else 0
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
            if batch and (len(batch) + 1) * lengths[index] > budget:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _shape(self, record: Record, logits: Scores, verbose: bool) -> Answer:
        scores = self._apply(logits, record.parameters)
        if not np.isfinite(scores).all():
            return Fault("model_output", "the model's scores are not finite", fault="server")
        answers: list[object]
        if verbose:
            answers = [self._verbose(row) for row in scores]
        elif record.parameters.top_k is ABSENT:
            return [self._ranked(row, 1)[0] for row in scores]
        else:
            answers = [self._ranked(row, record.parameters.top_k) for row in scores]
        return answers[0] if isinstance(record.inputs, str) else answers

    def _apply(self, logits: Scores, parameters: Parameters) -> Scores:
        function = parameters.function_to_apply or _default_function(self.model.config)
        if function == "sigmoid":
            return 1.0 / (1.0 + np.exp(-logits))
        if function == "softmax":
            shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
            return shifted / shifted.sum(axis=-1, keepdims=True)
        return logits

    def _ranked(self, scores: Scores, top_k: int | None) -> list[dict[str, object]]:
        # Stable, so that equal scores stay in class order as they do in the pipeline.
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [{"label": self.labels[i], "score": float(scores[i])} for i in order]

    def _verbose(self, scores: Scores) -> dict[str, object]:
        return {
            "probabilities": [float(score) for score in scores],
            "labels": self.labels,
            "predicted_label": self.labels[int(scores.argmax())],
        }


def _default_function(config: PretrainedConfig) -> str:
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


def _limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens that tokenizer and position embeddings allow; None where neither does."""
    limits = []
    if tokenizer.model_max_length < NO_LIMIT:
        limits.append(tokenizer.model_max_length)
    embeddings = getattr(model.base_model, "embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    if isinstance(positions, torch.nn.Embedding):
        # RoBERTa and its kin count positions from after the padding index.
        offset = 0 if positions.padding_idx is None else positions.padding_idx + 1
        limits.append(positions.num_embeddings - offset)
    elif getattr(model.config, "max_position_embeddings", 0) > 0:
        limits.append(model.config.max_position_embeddings)
    return min(limits, default=None)
