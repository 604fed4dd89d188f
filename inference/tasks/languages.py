"""The languages of a translation, for tokenizers of several of them."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from fault import Fault

BOTH = ("src_lang", "tgt_lang")


class Languages:
    """Takes them from a request's parameters, else from the task's name."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: str) -> None:
        self._tokenizer = tokenizer
        # transformers' own sign of a tokenizer that asks for languages.
        self.several = hasattr(tokenizer, "_build_translation_inputs")
        words = task.split("_")
        self._of_task = dict(zip(BOTH, words[1::2], strict=True)) if len(words) == 4 else {}
        self.codes = _codes(tokenizer) if self.several else []

    @property
    def examples(self) -> dict[str, str]:
        """Languages for a first translation, where the task's name has none that will do."""
        if not self.several or all(self._of_task.get(name) in self.codes for name in BOTH):
            return {}
        return dict(zip(BOTH, (self.codes * 2)[:2], strict=False))

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Raise a client's Fault where a language is missing or unknown to the model."""
        if not self.several:
            return
        chosen = self._chosen(parameters)
        for name in BOTH:
            if chosen.get(name) not in self.codes:
                raise Fault(
                    "invalid_parameter",
                    f"parameters.{name} must be one of the model's languages, got "
                    f"{chosen.get(name, 'none')[:20]}",
                    field=f"parameters.{name}",
                    allowed=self.codes,
                )

    def tokenise(
        self, text: str, parameters: Mapping[str, Any], options: Mapping[str, object]
    ) -> dict[str, Any]:
        """The text in its language, with the token that begins the other one."""
        inputs = self._tokenizer._build_translation_inputs(
            text, **{**self._chosen(parameters), **options}
        )
        return dict(inputs)

    def _chosen(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        given = {name: parameters[name] for name in BOTH if name in parameters}
        return given or self._of_task


def _codes(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The codes of the languages, which tokenizers keep under different names."""
    for name in ("lang_code_to_token", "lang_code_to_id"):
        codes = getattr(tokenizer, name, None)
        if codes:
            return sorted(codes)
    # Of a translator, the rest of the special tokens are its languages.
    kinds = ("mask", "unk", "pad", "eos", "bos", "sep", "cls")
    named = {str(getattr(tokenizer, f"{kind}_token")) for kind in kinds}
    return sorted(code for code in tokenizer.all_special_tokens if code not in named)
