"""Every snippet of the seed document, as written, with the indentation that its text form has lost.

`test_seed.py` checks that these are all of the document's code lines, in the document's order, and
runs each of them.
"""

# The document's lines that are not code.
PROSE = [
    "Skip to content",
    "Python SDK",
    "Terminal window",
    "pip install tokenrouter",
    "Manage custom routing logic to control how requests are routed.",
    "Protect your application by filtering sensitive content in requests and responses.",
    "• prompt - Apply to user input before sending to LLM",
    "• response - Apply to LLM output before returning to user",
    "• substring - Case-insensitive text matching",
    "• regex - Regular expression matching (PCRE-compatible)",
    "• block - Reject request/response with 422 error",
    "• mask - Replace matched content with replacement text",
    "• warn - Allow but add warning to metadata",
    "All SDK classes are fully typed with type hints:",
]

SNIPPETS: dict[str, str] = {
    "quick start": """
from tokenrouter import Tokenrouter
client = Tokenrouter(
    api_key="tr_..."
)
response = client.responses.create(
    model="auto:balance",
    input="Hello, world!"
)
""",
    "client options": """
client = Tokenrouter(
    api_key="tr_...",
    environment="production", # or "local"
    timeout=60.0, # seconds
)
""",
    "create": """
response = client.responses.create(
    model="auto:balance",
    input="What is Python?"
)
""",
    "create with options": """
response = client.responses.create(
    model="gpt-4o:quality",
    input="Explain decorators",
    temperature=0.7,
    max_output_tokens=1000
)
""",
    "stream": """
stream = client.responses.create(
    model="auto:balance",
    input="Write a story",
    stream=True
)
for chunk in stream:
    if chunk.event == 'content.delta':
        print(chunk.delta.text, end='', flush=True)
""",
    "async client": """
from tokenrouter import AsyncTokenrouter
async_client = AsyncTokenrouter(api_key="tr_...")
response = await async_client.responses.create(
    model="auto:balance",
    input="Hello!"
)
""",
    "routing rule create": """
rule = client.routing_rules.create(
    name="Coding Tasks → OpenAI",
    priority=100,
    is_enabled=True,
    match_json={"task": "coding"},
    action_json={
        "set_provider": "openai",
        "set_model": "gpt-4o"
    }
)
print(f"Created rule: {rule.data.id}")
""",
    "routing rule list": """
rules = client.routing_rules.list()
for rule in rules.data:
    print(f"{rule.name} (Priority: {rule.priority})")
""",
    "routing rule retrieve": """
rule = client.routing_rules.retrieve(123)
print(rule.data)
""",
    "routing rule update": """
client.routing_rules.update(
    123,
    priority=150,
    is_enabled=False
)
""",
    "routing rule delete": """
client.routing_rules.delete(123)
""",
    "match text": """
# Input contains text (case-insensitive)
match_json={"contains": "code review"}
""",
    "match metadata": """
# Match metadata
match_json={"metadata_equals": {"task": "documentation"}}
""",
    "match mode": """
# Match routing mode
match_json={"mode": "balanced"}
""",
    "match several": """
# Multiple conditions (all must match)
match_json={
    "task": "coding",
    "mode": "quality"
}
""",
    "act provider": """
# Force specific provider
action_json={"set_provider": "anthropic"}
""",
    "act model": """
# Force specific model
action_json={"set_model": "gpt-4o"}
""",
    "act mode": """
# Override routing mode
action_json={"set_mode": "cost"}
""",
    "act warning": """
# Add warning
action_json={
    "add_warning": {"message": "Using beta routing"}
}
""",
    "act several": """
# Combine actions
action_json={
    "set_provider": "openai",
    "set_model": "gpt-4o",
    "set_mode": "quality"
}
""",
    "firewall block": r"""
# Block credit card numbers
rule = client.firewall_rules.create(
    name="Block Credit Cards",
    priority=100,
    is_enabled=True,
    scope="prompt",
    type="regex",
    pattern=r"\d{4}[\s-]?\d{4}[\s-]?\d{4}[\s-]?\d{4}",
    action="block"
)
""",
    "firewall mask": r"""
# Mask email addresses in responses
rule = client.firewall_rules.create(
    name="Mask Email Addresses",
    priority=80,
    is_enabled=True,
    scope="response",
    type="regex",
    pattern=r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}",
    action="mask",
    replacement="[EMAIL_REDACTED]"
)
""",
    "firewall warn": """
# Warn when profanity detected
rule = client.firewall_rules.create(
    name="Warn on Profanity",
    priority=50,
    is_enabled=True,
    scope="response",
    type="substring",
    pattern="inappropriate",
    action="warn"
)
""",
    "firewall rule list": """
rules = client.firewall_rules.list()
for rule in rules.data:
    print(f"{rule.name} ({rule.action})")
    print(f" Scope: {rule.scope}")
    print(f" Pattern: {rule.pattern}")
""",
    "firewall rule retrieve": """
rule = client.firewall_rules.retrieve(123)
print(rule.data)
""",
    "firewall rule update": """
# Disable temporarily
client.firewall_rules.update(123, is_enabled=False)
# Change action
client.firewall_rules.update(123, action="warn")
""",
    "firewall rule delete": """
client.firewall_rules.delete(123)
""",
    "pattern social security": r"""
# Social Security Numbers
pattern = r"\d{3}-\d{2}-\d{4}"
""",
    "pattern phone": r"""
# Phone Numbers
pattern = r"\+?1?\s?\(?\d{3}\)?[\s.-]?\d{3}[\s.-]?\d{4}"
""",
    "pattern email": r"""
# Email Addresses
pattern = r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}"
""",
    "pattern api key": r"""
# API Keys (OpenAI format)
pattern = r"sk-[a-zA-Z0-9]{32,}"
""",
    "pattern credit card": r"""
# Credit Cards (any format)
pattern = r"\d{4}[\s-]?\d{4}[\s-]?\d{4}[\s-]?\d{4}"
""",
    "errors": """
from tokenrouter import APIError
try:
    response = client.responses.create(...)
except APIError as error:
    print(f"API Error: {error}")
    print(f"Status: {error.status}")
    print(f"Type: {error.type}")
""",
    "blocked prompt": """
try:
    response = client.responses.create(
        model="auto:balance",
        input="My credit card is 4532-1234-5678-9010"
    )
except APIError as error:
    if error.status == 422:
        print("Request blocked by firewall")
        print(f"Reason: {error.message}")
""",
    "several routing rules": """
# Create multiple rules for different scenarios
client.routing_rules.create(
    name="Complex Analysis → GPT-4",
    priority=100,
    is_enabled=True,
    match_json={
        "contains": ["analyze", "complex"],
        "mode": "quality"
    },
    action_json={
        "set_provider": "openai",
        "set_model": "gpt-4o"
    }
)
client.routing_rules.create(
    name="Simple Tasks → Cost Mode",
    priority=50,
    is_enabled=True,
    match_json={"contains": ["summarize", "list"]},
    action_json={"set_mode": "cost"}
)
""",
    "layered firewall": r"""
# Layer 1: Block PII in prompts
client.firewall_rules.create(
    name="Block PII in Input",
    priority=100,
    is_enabled=True,
    scope="prompt",
    type="regex",
    pattern=r"\d{3}-\d{2}-\d{4}|\d{16}",
    action="block"
)
# Layer 2: Mask emails in responses
client.firewall_rules.create(
    name="Mask Emails in Output",
    priority=90,
    is_enabled=True,
    scope="response",
    type="regex",
    pattern=r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}",
    action="mask",
    replacement="[REDACTED]"
)
# Layer 3: Warn on sensitive keywords
client.firewall_rules.create(
    name="Warn on Sensitive Terms",
    priority=80,
    is_enabled=True,
    scope="response",
    type="substring",
    pattern="confidential",
    action="warn"
)
""",
    "types": """
from tokenrouter import (
    Tokenrouter,
    AsyncTokenrouter,
    RoutingRule,
    FirewallRule
)
from tokenrouter.types import (
    ResponseCreateParams,
    RoutingRuleCreateParams,
    FirewallRuleCreateParams
)
""",
}
