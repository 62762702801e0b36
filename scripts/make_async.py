"""Makes the async client out of the sync one: python/tokenrouter/_async_{client,resources}.py.

    python scripts/make_async.py            writes them
    python scripts/make_async.py --check    fails if they are not what would be written
"""

import argparse
import re
import sys
from pathlib import Path

SDK = Path(__file__).resolve().parent.parent / "python" / "tokenrouter"
FILES = {"_client.py": "_async_client.py", "_resources.py": "_async_resources.py"}

# In order. A pattern that stands for a whole word is written with \b.
CHANGES = [
    (r'"""([^"]*?) `_async_\w+\.py` is made out of this file by `scripts/make_async\.py`\.', r'"""\1 Made by `scripts/make_async.py`: do not edit.'),  # fmt: skip
    (r"The sync client", "The async client"),
    (r"\bTokenrouter\b(?!Error)", "AsyncTokenrouter"),
    (r"from \._client import", "from ._async_client import"),
    (r"import _resources as", "import _async_resources as"),
    (r"\bhttpx\.Client\b", "httpx.AsyncClient"),
    (r"\bimport time\b", "import asyncio"),
    (r"\bimport copy\nimport asyncio\b", "import asyncio\nimport copy"),
    (r"\btime\.sleep\(", "await asyncio.sleep("),
    (r"\bStream\b", "AsyncStream"),
    (r"\bStreamedResponse\b", "AsyncStreamedResponse"),
    (r"\bRawResponse, AsyncStreamedResponse\b", "AsyncStreamedResponse, RawResponse"),
    (r"import AsyncStream, connection_error", "import AsyncStream, connection_error"),
    (r"\bManaged, ResponseManager\b", "AsyncResponseManager, Managed"),
    (r"\bResponseManager\b", "AsyncResponseManager"),
    (r"\b(Resource|Responses|InputItems|Conversations|ConversationItems|Models|RoutingRules|FirewallRules|OwnWorkspace|ApiKeys|ProviderKeys|Requests|Capture|UsageSums)\b(?!\")", r"Async\1"),
    (r"used with `with`", "used with `async with`"),
    # What waits.
    (r"\bdef (route|send|send_stream|_send|close|create|retrieve|replay|update|delete|cancel|feedback|list|test)\(", r"async def \1("),
    (r"\bdef __enter__", "async def __aenter__"),
    (r"\bdef __exit__", "async def __aexit__"),
    (r"(?<!await )\b(self\._client\.send\(|self\._client\.send_stream\(|self\._send\(|self\.send\(|self\._http\.send\()", r"await \1"),  # fmt: skip
    (r"\bself\.close\(\)", "await self.close()"),
    (r"\bself\._http\.close\(\)", "await self._http.aclose()"),
    (r"(?<![\w.])response\.close\(\)", "await response.aclose()"),
    (r"(?<![\w.])response\.read\(\)", "await response.aread()"),
]


def made(text: str) -> str:
    for pattern, replacement in CHANGES:
        text = re.sub(pattern, replacement, text)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for source, target in FILES.items():
        text = made((SDK / source).read_text())
        if check and (SDK / target).read_text() != text:
            stale.append(target)
        if not check:
            (SDK / target).write_text(text)
    if stale:
        print(f"not current: {', '.join(stale)}; run python scripts/make_async.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
