"""What this node offers, looked at again and again: the administrator's grants, the cards, and what follows from both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from spillway_crds.errors import InvalidIntent
from spillway_dataplane.dra.devices import Card, Offer, QueueDevice, named_queues, plan_offer, why_not
from spillway_dataplane.dra.grants import Grants, decode_config

LOG = logging.getLogger(__name__)
GONE_S = 10.0  # a card that resets is away for a moment; pods must not be placed elsewhere for that
Observe = Callable[[Iterable[str]], Mapping[str, Card]]


class Offering:
    """config: streams.json. observe: looks at cards by name. publish: takes the devices to offer."""

    def __init__(self, config: Path, observe: Observe, publish: Callable[[tuple[QueueDevice, ...]], None]) -> None:
        self._config, self._observe, self._publish = config, observe, publish
        self._text = b""
        self._known: Grants | None = None
        self._seen: dict[str, tuple[QueueDevice, float]] = {}
        self.offer = Offer()

    @property
    def grants(self) -> Grants:
        """What may be handed out; nothing before it could be read."""
        return self._known or Grants()

    def look(self, now: float) -> None:
        """Look, and offer what follows. Nothing is taken back because it could not be looked at. now: monotonic."""
        self._read_grants()
        if self._known is None:
            return
        try:
            cards = self._observe({interface for interface, _ in self._known.queues()})
        except OSError as error:
            LOG.warning("the interfaces cannot be looked at, what is offered stays: %s", error)
            return
        offer = plan_offer(self._known, cards)
        for reason in set(offer.withheld) - set(self.offer.withheld):
            LOG.info("not offered: %s", reason)
        self.offer = Offer(self._steady(offer.devices, now), offer.withheld)
        self._publish(self.offer.devices)

    def hindrance(self, interface: str, queue: int) -> str:
        """Look at one card now: return why a ring must not be bound there yet, nothing when it may."""
        try:
            card = self._observe([interface]).get(interface)
        except OSError as error:
            return f"the interface cannot be looked at: {error}"
        return "there is no such interface now" if card is None else why_not(card, queue)

    def _steady(self, devices: tuple[QueueDevice, ...], now: float) -> tuple[QueueDevice, ...]:
        """Add what was there a moment ago and is still granted."""
        granted = named_queues(self.grants)
        self._seen = {name: seen for name, seen in self._seen.items() if name in granted and now - seen[1] < GONE_S}
        self._seen |= {each.name: (each, now) for each in devices}
        return tuple(device for _, (device, _) in sorted(self._seen.items()))

    def _read_grants(self) -> None:
        try:
            text = self._config.read_bytes()
        except OSError as error:
            text = b""
            if self._text != text or self._known is None:
                LOG.error("%s cannot be read, the grants stay as they are: %s", self._config, error)
        if not text or text == self._text:
            return
        self._text = text
        try:
            self._known = decode_config(text)
        except InvalidIntent as error:
            LOG.error("%s is wrong, the grants stay as they are: %s", self._config, error)
        else:
            LOG.info("%d queues are granted", len(self._known.queues()))
