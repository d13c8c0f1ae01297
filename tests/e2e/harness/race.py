"""Many at once: everybody shows the token before anybody registers."""

import asyncio

from .site import PASSWORD


async def register_all_at_once(visitors, token, name):
    """The answers to one registration of each visitor, streams or forms (to be awaited), as `name0`, `name1`, …"""
    visitors = await asyncio.gather(*visitors)
    try:
        shown = await asyncio.gather(*(visitor.present(token) for visitor in visitors))
        assert all(answer.accepted for answer in shown), list(map(str, shown))
        return await asyncio.gather(
            *(visitor.register(f"{name}{number}", PASSWORD) for number, visitor in enumerate(visitors))
        )
    finally:
        await asyncio.gather(*(visitor.close() for visitor in visitors))
