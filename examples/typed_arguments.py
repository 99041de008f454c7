"""Arguments and results are what the annotations say: nothing to convert by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import anyio
from _beside import beside
from attrs import frozen

import upnext

worker = upnext.Worker("typed")


class Currency(Enum):
    EUR = "EUR"


@frozen
class Line:
    text: str
    price: Decimal
    count: int = 1


@frozen
class Invoice:
    due: date
    currency: Currency
    lines: list[Line]


@worker.task
async def total(invoice: Invoice, *discounts: Decimal, at: datetime) -> tuple[Decimal, bool]:
    gross = sum((line.price * line.count for line in invoice.lines), Decimal())
    return gross - sum(discounts), at.date() > invoice.due


async def main() -> None:
    lines = [Line("rope", Decimal("60.00"), 2), Line("map", Decimal("12.50"))]
    invoice = Invoice(date(2030, 1, 31), Currency.EUR, lines)
    result = await total.wait(invoice, Decimal("2.50"), at=datetime(2030, 2, 1, tzinfo=UTC))
    print(result.value)

    unknown: Any = object()
    lines.append(Line("?", unknown))
    try:
        await total.submit(invoice, at=datetime.now(UTC))
    except upnext.CodecError as error:
        print(error)


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
