"""Makes crates/routing/src/catalog/catalog.json from a dated public table of models.

    python scripts/make_catalog.py ../shared/data/routing/model_catalog_from_litellm_1.109.1.json.gz

Prices, limits and abilities come from the table (the litellm 1.109.1 wheel, MIT; each entry carries
the address of the provider's own page as `source`). Quality and latency priors are estimates by
family, kept here, to be replaced by measured ones; they only order models before anything was seen.
"""

import gzip
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

DATE = "2026-11-01"
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "mistral": "mistral", "deepseek": "deepseek",
             "groq": "groq"}
LEFT_OUT = re.compile(
    r"ft:|audio|voxtral|search|computer-use|realtime|guard|16k|-1106|0613|robotics|-cyber|daybreak|labs-|vibe|-fim"
    r"|mistral-code|codestral-mamba|chat-latest|gpt-3.5|gpt-4-|^gpt-4$|/zai-|/glm|/deepseek-v4.1|vision-exp|-tiny"
)
DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
# (pattern, quality 0..1, milliseconds to the first token, tokens a second): the first that matches.
PRIORS = [
    (r"gpt-6-luna", 0.80, 800, 120),
    (r"gpt-6|opus-5|mythos|fable-5", 0.95, 1500, 60),
    (r"gpt-5.*-pro", 0.93, 9000, 30),
    (r"gpt-5.*(mini|luna)", 0.74, 900, 110),
    (r"gpt-5.*nano", 0.60, 600, 150),
    (r"o3-mini", 0.76, 1800, 90),
    (r"gpt-5\.[2-9]|sonnet-5|opus-4", 0.90, 1400, 65),
    (r"gpt-5|sonnet-4|^o3", 0.87, 1500, 65),
    (r"^o4-mini|^o1|reasoner|r1|v4-pro", 0.80, 2500, 70),
    (r"magistral-medium|haiku-5", 0.76, 900, 100),
    (r"gpt-4\.1$|mistral-large|gpt-4o$", 0.72, 650, 85),
    (r"haiku", 0.70, 600, 130),
    (r"deepseek", 0.73, 1100, 60),
    (r"gpt-4o-mini|gpt-4\.1-mini", 0.58, 500, 100),
    (r"gpt-oss-120b|mistral-medium|codestral|devstral|magistral", 0.66, 450, 130),
    (r"gpt-4\.1-nano", 0.46, 350, 160),
    (r"gpt-oss-20b|mistral-small|nemo|14b", 0.50, 300, 170),
    (r"8b", 0.38, 250, 190),
    (r"3b", 0.28, 200, 220),
    (r"", 0.55, 800, 80),
]


def pico(cost: float | None) -> int | None:
    """Dollars a token to pico-dollars a token, exactly as written."""
    return None if cost is None else int((Decimal(repr(cost)) * 10**12).to_integral_value())


def entry(name: str, row: dict) -> dict:
    quality, ttft, speed = next(p[1:] for p in PRIORS if re.search(p[0], name))
    return {
        "provider": PROVIDERS[row["litellm_provider"]],
        "id": name,
        "aliases": [],
        "price": {
            "input_pico_usd": pico(row["input_cost_per_token"]),
            "output_pico_usd": pico(row["output_cost_per_token"]),
            "cache_read_pico_usd": pico(row.get("cache_read_input_token_cost")),
            "cache_write_pico_usd": pico(row.get("cache_creation_input_token_cost")),
        },
        "context_window": row["max_input_tokens"],
        "max_output_tokens": row.get("max_output_tokens") or row.get("max_tokens") or 0,
        "capabilities": {
            "tools": row.get("supports_function_calling", False),
            "images": row.get("supports_vision", False),
            "files": row.get("supports_pdf_input", False),
            "json_schema": row.get("supports_response_schema", False),
            "reasoning": row.get("supports_reasoning", False),
        },
        "quality": quality,
        "latency": {"ttft_ms": ttft, "tokens_per_second": speed},
        "deprecated_on": row.get("deprecation_date"),
        "source": row["source"],
    }


def main() -> None:
    table = json.load(gzip.open(sys.argv[1]))
    models: dict[tuple[str, str], dict] = {}
    for full, row in table.items():
        provider = row.get("litellm_provider")
        if provider not in PROVIDERS or row.get("mode") not in ("chat", "responses") or LEFT_OUT.search(full):
            continue
        if not row.get("input_cost_per_token") or not row.get("output_cost_per_token"):
            continue
        if not row.get("max_input_tokens") or not str(row.get("source", "")).startswith("http"):
            continue
        if row["output_cost_per_token"] < row["input_cost_per_token"]:
            continue
        name = full.removeprefix(f"{provider}/")
        models.setdefault((PROVIDERS[provider], name), entry(name, row))
    # A dated name is an alias of the name without the date, where that exists at the same price.
    for provider, name in sorted(models):
        base = DATED.sub("", name)
        target = models.get((provider, base))
        if base != name and target and target["price"] == models[(provider, name)]["price"]:
            target["aliases"].append(name)
            del models[(provider, name)]
    out = {"date": DATE, "models": [models[key] for key in sorted(models)]}
    path = Path(__file__).parent.parent / "crates/routing/src/catalog/catalog.json"
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(f"{len(out['models'])} models written to {path}")


if __name__ == "__main__":
    main()
