"""The newest sight wins, whichever way it came."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from spillway_operator.api.cache import Cache, Change


@dataclass(frozen=True)
class Sight:
    name: str
    version: int


def test_older_sights_tell_nothing():
    cache = Cache()
    assert cache.put(Sight("a", 5)) == Change(None, Sight("a", 5))
    assert cache.put(Sight("a", 5)) is None
    assert cache.put(Sight("a", 4)) is None
    assert cache.put(Sight("a", 6)) == Change(Sight("a", 5), Sight("a", 6))


def test_an_answer_older_than_the_deletion_brings_nothing_back():
    cache = Cache()
    cache.put(Sight("a", 5))
    assert cache.drop("a", 7) == Change(Sight("a", 5), None)
    assert cache.put(Sight("a", 6)) is None
    assert cache.put(Sight("a", 8)) == Change(None, Sight("a", 8))


def test_a_deletion_older_than_the_object_is_of_a_namesake():
    cache = Cache()
    cache.put(Sight("a", 9))
    assert cache.drop("a", 7) is None
    assert cache.get("a") == Sight("a", 9)


def test_a_listing_names_what_it_lacks_and_drops_nothing():
    """Whoever asked for the listing decides whether the absence is obeyed; what is newer than the listing is not absent."""
    cache = Cache()
    assert not cache.complete
    cache.put(Sight("old", 5))
    cache.put(Sight("new", 20))
    changes, missing = cache.take_listing([Sight("listed", 8)], version=10)
    assert (changes, missing) == ([Change(None, Sight("listed", 8))], ["old"])
    assert cache.complete
    assert set(cache.names()) == {"old", "new", "listed"}


@given(st.permutations([("put", 1), ("put", 2), ("drop", 3), ("put", 4), ("put", 5)]))
def test_the_order_of_news_does_not_matter(news):
    """Events, answers and deletions of one object in any order end with its newest state."""
    cache = Cache()
    for what, version in news:
        cache.put(Sight("a", version)) if what == "put" else cache.drop("a", version)
    assert cache.get("a") == Sight("a", 5)
