"""Makes crates/routing/src/catalog/catalog.json.

    python scripts/make_catalog.py PATH/model_catalog_from_litellm_1.109.1.json.gz --date 2026-11-24

Limits, abilities and prices are litellm's (MIT), a dataset whose entries name the page they were read
from. Prices are compared with PyPI `genai-prices` (MIT; `pip install genai-prices`); differences go to
standard error. Which of the two counts:

- litellm's, as long as genai-prices says the same, has no such model, or has a figure without a date;
- genai-prices', where its figure is in force from a day that it names: the newer, dated entry;
- where the price depends on the time of day, the higher: a request is never counted as too cheap;
- the rates for long prompts, which this dataset of litellm's leaves out, are genai-prices'.

Abilities are what abilities.py beside this script makes of quality_priors.json and benchmarks.csv, each with its source
or the word `estimate`; latency is in quality_priors.json. The same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import importlib.metadata
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import abilities

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "crates" / "routing" / "src" / "catalog" / "catalog.json"

# By provider: litellm's prefix, genai-prices' name, and the models. A model is its name, then the
# provider's other names for it: what a caller writes is what the provider gets. After `=` stands the
# name under which other providers serve the same model: it finds the model, but is not sent.
CHOSEN: dict[str, tuple[str, str, list[str]]] = {
    "openai": ("", "openai", [
        "gpt-4o gpt-4o-2024-08-06 gpt-4o-2024-11-20", "gpt-4o-mini gpt-4o-mini-2024-07-18",
        "gpt-4.1 gpt-4.1-2025-04-14", "gpt-4.1-mini gpt-4.1-mini-2025-04-14", "gpt-4.1-nano gpt-4.1-nano-2025-04-14",
        "gpt-5 gpt-5-2025-08-07", "gpt-5-mini gpt-5-mini-2025-08-07", "gpt-5-nano gpt-5-nano-2025-08-07",
        "gpt-5-pro gpt-5-pro-2025-10-06", "gpt-5.1 gpt-5.1-2025-11-13", "gpt-5.2 gpt-5.2-2025-12-11",
        "gpt-5.2-pro gpt-5.2-pro-2025-12-11", "gpt-5.3-codex", "gpt-5.4 gpt-5.4-2026-03-05",
        "gpt-5.4-mini gpt-5.4-mini-2026-03-17", "gpt-5.4-nano gpt-5.4-nano-2026-03-17",
        "gpt-5.4-pro gpt-5.4-pro-2026-03-05", "gpt-5.5 gpt-5.5-2026-04-23", "gpt-5.5-pro gpt-5.5-pro-2026-04-23",
        "gpt-5.6-sol gpt-5.6", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna",
        "gpt-6.1-sol", "gpt-6.1-terra", "o3 o3-2025-04-16", "o3-pro o3-pro-2025-06-10", "o4-mini o4-mini-2025-04-16",
    ]),
    "anthropic": ("", "anthropic", [
        "claude-haiku-4-5 claude-haiku-4-5-20251001", "claude-haiku-5-5", "claude-sonnet-4-5 claude-sonnet-4-5-20250929",
        "claude-sonnet-4-6", "claude-sonnet-5", "claude-sonnet-5-5", "claude-opus-4-5 claude-opus-4-5-20251101",
        "claude-opus-4-6 claude-opus-4-6-20260205", "claude-opus-4-7 claude-opus-4-7-20260416", "claude-opus-4-8",
        "claude-opus-5", "claude-opus-5-5", "claude-fable-5", "claude-fable-5-1",
    ]),
    "gemini": ("gemini/", "google", [
        "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3-flash-preview",
        "gemini-3.1-flash-lite", "gemini-3.1-pro-preview", "gemini-3.5-flash", "gemini-3.5-flash-lite",
        "gemini-3.6-flash", "gemini-3.7-flash", "gemini-3.8-flash", "gemini-4-argon",
    ]),
    "mistral": ("mistral/", "mistral", [
        "mistral-large-latest mistral-large-2512 mistral-large-3 =mistral-large", "mistral-large-4 mistral-large-4-0",
        "mistral-medium-latest mistral-medium-2604 mistral-medium-3-5 =mistral-medium",
        "mistral-small-latest mistral-small-2603 =mistral-small",
        "magistral-medium-latest =magistral-medium", "magistral-small-latest =magistral-small",
        "codestral-latest codestral-2508 =codestral", "devstral-medium-latest devstral-latest =devstral",
        "devstral-small-latest =devstral-small", "ministral-3b-latest ministral-3b-2512 =ministral-3b",
        "ministral-8b-latest ministral-8b-2512 =ministral-8b", "ministral-14b-latest ministral-14b-2512 =ministral-14b",
    ]),
    "deepseek": ("deepseek/", "deepseek", [
        "deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash deepseek-flash", "deepseek-v4-pro",
    ]),
    "groq": ("groq/", "groq", [
        "openai/gpt-oss-120b =gpt-oss-120b", "openai/gpt-oss-20b =gpt-oss-20b", "qwen/qwen3.8-27b =qwen3.8-27b",
    ]),
    "together": ("together_ai/", "together", [
        "openai/gpt-oss-120b =gpt-oss-120b", "deepseek-ai/DeepSeek-V4-Pro-0813 =deepseek-v4-pro",
        "deepseek-ai/DeepSeek-V4.1-Flash =deepseek-v4-flash", "moonshotai/Kimi-K3 =kimi-k3", "zai-org/GLM-5.3 =glm-5.3",
        "zai-org/GLM-5.3-Flash =glm-5.3-flash", "Qwen/Qwen3.7-Max =qwen3.7-max", "Qwen/Qwen3.8-Flash =qwen3.8-flash",
        "Qwen/Qwen3.5-9B =qwen3.5-9b",
    ]),
    "xai": ("xai/", "x-ai", [
        "grok-4.7", "grok-4.6", "grok-4.5 grok-4.5-latest", "grok-4.3 grok-4.3-latest",
        "grok-4.20 grok-4.20-reasoning grok-4.20-0309-reasoning",
        "grok-4.20-non-reasoning grok-4.20-0309-non-reasoning", "grok-build-0.1",
    ]),
    "cerebras": ("cerebras/", "cerebras", ["gpt-oss-120b", "qwen-3.8-27b =qwen3.8-27b"]),
    "moonshot": ("moonshot/", "moonshotai", ["kimi-k3", "kimi-k3.1-pro", "kimi-k2.6", "kimi-k2.7-code"]),
}  # fmt: skip

# genai-prices' names of prices, and ours.
PRICES = {
    "input_mtok": "input_pico_usd",
    "output_mtok": "output_pico_usd",
    "cache_read_mtok": "cache_read_pico_usd",
    "cache_write_mtok": "cache_write_pico_usd",
}
LITELLM_PRICES = {
    "input_cost_per_token": "input_pico_usd",
    "output_cost_per_token": "output_pico_usd",
    "cache_read_input_token_cost": "cache_read_pico_usd",
    "cache_creation_input_token_cost": "cache_write_pico_usd",
}


def pico(usd: Decimal, tokens: int = 1) -> int:
    """Dollars for so many tokens, in pico-dollars a token."""
    exact = usd * 10**12 / tokens
    if exact != exact.to_integral_value():
        raise SystemExit(f"{usd} USD for {tokens} tokens is no whole number of pico-dollars")
    return int(exact)


def of_litellm(entry: dict[str, Any]) -> dict[str, int]:
    # What costs nothing to write into a cache says nothing of tokens that the provider counts as input.
    return {ours: pico(entry[theirs]) for theirs, ours in LITELLM_PRICES.items() if entry.get(theirs)}


class GenaiPrices:
    """What genai-prices says of a model on a day."""

    def __init__(self, day: datetime.date) -> None:
        from genai_prices import data, types

        self.day, self.types = day, types
        self.version = importlib.metadata.version("genai-prices")
        self.providers = {provider.id: provider for provider in data.providers}

    def find(self, provider: str, model: str) -> Any | None:
        models = self.providers[provider].models
        exact = [m for m in models if m.id.lower() == model.lower()]
        return next(iter(exact or [m for m in models if m.is_match(model)]), None)

    def prices(self, model: Any) -> tuple[dict[str, int], dict[str, int] | None, str | None]:
        """The prices, those for long prompts, and the day from which they are in force if one is named."""
        prices, since = model.prices, None
        if isinstance(prices, list):
            prices, since = self._in_force(prices)
        plain: dict[str, int] = {}
        long: dict[str, int] = {}
        starts = set()
        for theirs, ours in PRICES.items():
            value = getattr(prices, theirs, None)
            if isinstance(value, self.types.TieredPrices):
                plain[ours] = pico(value.base, 10**6)
                if len(value.tiers) != 1:
                    raise SystemExit(f"{model.id} has more than one rate for long prompts")
                starts.add(value.tiers[0].start)
                long[ours] = pico(value.tiers[0].price, 10**6)
            elif value:
                plain[ours] = pico(value, 10**6)
        if len(starts) > 1:
            raise SystemExit(f"{model.id} has long prompts of several lengths")
        for start in starts:
            long = {"above_input_tokens": start, **plain, **long}
        return plain, long or None, since

    def _in_force(self, conditional: list[Any]) -> tuple[Any, str | None]:
        standard, since, by_time = conditional[0].prices, None, []
        for item in conditional:
            if isinstance(item.constraint, self.types.StartDateConstraint):
                if item.constraint.start_date <= self.day:
                    standard, since = item.prices, item.constraint.start_date.isoformat()
            elif item.constraint is not None:
                by_time.append(item.prices)
        # A price by the time of day: the highest counts.
        return max([standard, *by_time], key=lambda p: base(p.output_mtok)), since


def base(price: Any) -> Decimal:
    return getattr(price, "base", price) or Decimal(0)


def priors(name: str) -> dict[str, Any]:
    entry = abilities.family(name)
    latency = {"ttft_ms": entry["ttft_ms"], "tokens_per_second": entry["tokens_per_second"], "source": "estimate"}
    return {**abilities.abilities(name), "latency": latency}


def model_of(provider: str, names: list[str], litellm: dict[str, Any], dataset: str, genai: GenaiPrices) -> dict[str, Any]:
    prefix, genai_name, _ = CHOSEN[provider]
    model, *aliases = [name for name in names if not name.startswith("=")]
    shared = [name[1:] for name in names if name.startswith("=")]
    entry = litellm.get(prefix + model) or litellm[model]
    price, long, source = of_litellm(entry), None, dataset
    if (theirs := genai.find(genai_name, model)) is None:
        print(f"{provider}/{model}: genai-prices has no such model", file=sys.stderr)
    else:
        other, long, since = genai.prices(theirs)
        if {k: other.get(k) for k in price} != price:
            newer = bool(since) and other.get("input_pico_usd") and other.get("output_pico_usd")
            differ = {k: (price.get(k), other.get(k)) for k in PRICES.values() if price.get(k) != other.get(k)}
            print(f"{provider}/{model}: (litellm, genai-prices) {differ}: taken {'the second, from ' + str(since) if newer else 'the first'}", file=sys.stderr)  # fmt: skip
            if newer:
                price, source = other, f"genai-prices {genai.version}, in force from {since}"
            else:
                long = None if long and long["input_pico_usd"] < price["input_pico_usd"] else long
        elif "cache_write_pico_usd" in other:
            price = {**price, "cache_write_pico_usd": other["cache_write_pico_usd"]}
    context = max(entry["max_input_tokens"], (theirs and theirs.context_window) or 0)
    # Some rates are of a window that the provider has since taken back.
    if long and long["above_input_tokens"] < context:
        price = {**price, "long_prompt": long}
    made: dict[str, Any] = {"provider": provider, "id": model}
    if aliases:
        made["aliases"] = aliases
    if shared:
        made["shared_name"] = shared[0]
    made["price"] = price or None
    made["context_window"] = context
    if entry["max_input_tokens"] < context:
        made["max_input_tokens"] = entry["max_input_tokens"]
    made["max_output_tokens"] = min(entry.get("max_output_tokens") or entry["max_input_tokens"], context)
    made["capabilities"] = {
        "tools": bool(entry.get("supports_function_calling")),
        "images": bool(entry.get("supports_vision")),
        "files": bool(entry.get("supports_pdf_input")),
        "json_schema": bool(entry.get("supports_response_schema")),
        "reasoning": bool(entry.get("supports_reasoning")),
    }
    made |= priors(model)
    if "deprecation_date" in entry:
        made["deprecated_on"] = entry["deprecation_date"]
    pages = genai.providers[genai_name].pricing_urls or [""]
    made["source"] = {"address": entry.get("source") or pages[0], "dataset": dataset, "price": source}
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("litellm", type=Path, help="model_catalog_from_litellm_VERSION.json.gz")
    parser.add_argument("--date", required=True, type=datetime.date.fromisoformat, help="the day it is made for")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    with gzip.open(args.litellm, "rt") as file:
        litellm = json.load(file, parse_float=Decimal, parse_int=lambda digits: int(digits))
    litellm = {name: {k: Decimal(v) if "cost" in k and v is not None else v for k, v in e.items()} for name, e in litellm.items()}  # fmt: skip
    version = args.litellm.name.removeprefix("model_catalog_from_litellm_").removesuffix(".json.gz")
    dataset, genai = f"litellm {version}", GenaiPrices(args.date)
    models = [
        model_of(provider, names.split(), litellm, dataset, genai)
        for provider, (_, _, chosen) in CHOSEN.items()
        for names in chosen
    ]
    lines = ",\n    ".join(json.dumps(model) for model in models)
    about = {
        "about": "Made by scripts/make_catalog.py; do not edit. Prices are pico-dollars (10^-12 USD) a token.",
        "date": args.date.isoformat(),
        "datasets": [dataset + " (MIT)", f"genai-prices {genai.version} (MIT)"],
    }
    head = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in about.items())
    args.out.write_text(f'{{\n  {head},\n  "models": [\n    {lines}\n  ]\n}}\n')
    print(f"{len(models)} models", file=sys.stderr)


if __name__ == "__main__":
    main()
