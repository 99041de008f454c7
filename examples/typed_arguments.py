"""Arguments and results are what the annotations say: nothing to convert by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import anyio
from _beside import beside
from attrs import frozen

import upnext

worker = upnext.Worker("typed")


class Currency(Enum):
    EUR = "EUR"
    JPY = "JPY"


@frozen
class Line:
    text: str
    price: Decimal
    count: int = 1


@frozen
class Invoice:
    id: UUID
    due: date
    currency: Currency
    lines: list[Line]


@worker.task
async def total(invoice: Invoice, *discounts: Decimal, at: datetime) -> tuple[Decimal, bool]:
    assert isinstance(invoice.lines[0].price, Decimal)
    gross = sum((line.price * line.count for line in invoice.lines), Decimal())
    return gross - sum(discounts), at.date() > invoice.due


async def main() -> None:
    lines = [Line("rope", Decimal("60.00"), 2), Line("map", Decimal("12.50"))]
    invoice = Invoice(UUID(int=7), date(2030, 1, 31), Currency.EUR, lines)
    result = await total.wait(invoice, Decimal("2.50"), at=datetime(2030, 2, 1, tzinfo=UTC))
    print(result.value)

    broken: Any = Invoice(UUID(int=8), date(2030, 1, 31), Currency.EUR, [Line("?", object())])
    try:
        await total.submit(broken, at=datetime.now(UTC))
    except upnext.CodecError as error:
        print(error)


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
