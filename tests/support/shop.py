"""A small shop that is declared completely: producer, two processors in a row, and a check.

`holdfast verify` and `holdfast demo` run it like any user's application.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

EVENTS = """
    from pydantic import BaseModel
    from holdfast import Event, State, processor
    from holdfast.checks import CheckResult

    class Ordered(Event):
        customer: str
        amount: int

    class Billed(Event):
        customer: str
        amount: int

    @processor
    def billing(order: Ordered) -> Billed:
        if order.amount < 0:
            raise ValueError("a negative amount")
        return Billed(customer=order.customer, amount=order.amount)

    @processor
    def totals(bill: Billed, sums: State[int]) -> None:
        sums.set((sums.get() or 0) + bill.amount)

    def generate(count: int = 300, customers: int = 7, bad: int = 0):
        for n in range(count):
            yield Ordered(customer=f"c{n % customers}", amount=n)
        for n in range(bad):
            yield Ordered(customer=f"c{n % customers}", amount=-1)

    def every_order_is_billed(log):
        ordered = sum(r.event.amount for r in log.events("{app}.orders"))
        billed = sum(r.event.amount for r in log.events("{app}.bills"))
        booked = sum(log.table("totals", "sums").values())
        same = ordered == billed == booked
        problems = [] if same else [f"ordered {ordered}, billed {billed}, booked {booked}"]
        return CheckResult.of("every order is billed", problems, ordered=ordered, booked=booked)

    def nobody_pays_more_than_nothing(log):
        problems = (f"{c} pays {n}" for c, n in sorted(log.table("totals", "sums").items()) if n)
        return CheckResult.of("nobody pays", problems)

    def breaks(log):
        return {}["no such key"]
"""

TOPOLOGY = """
    app: {app}
    topics:
      {app}.orders: {{event: shop:Ordered, key: customer, partitions: 2}}
      {app}.bills:  {{event: shop:Billed, key: customer, partitions: 2}}
    processors:
      billing: {{handler: shop:billing, reads: ["{app}.orders"], writes: ["{app}.bills"]}}
      totals:  {{handler: shop:totals, reads: ["{app}.bills"], tables: {{sums: int}}}}
    producers:
      orders: {{source: shop:generate, writes: ["{app}.orders"]}}
    checks: [{checks}]
"""


def write_shop(folder: Path, app: str, *checks: str) -> Path:
    """Write the shop into a folder.

    Args:
        folder: where.
        app: its name; its topics begin with it.
        checks: names of functions; `every_order_is_billed` unless given.
    """
    named = ", ".join(f"shop:{check}" for check in checks or ("every_order_is_billed",))
    (folder / "shop.py").write_text(textwrap.dedent(EVENTS).replace("{app}", app))
    (folder / "topology.yaml").write_text(textwrap.dedent(TOPOLOGY).format(app=app, checks=named))
    return folder
