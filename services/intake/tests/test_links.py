"""Roots of linked entity keys."""

from market_supervision.lifecycle.v1.state_pb2 import LinkRecord

from services.intake.links import HOPS_MAX, Links


def links(*pairs: tuple[str, str]) -> Links:
    """Return links from one key to another."""
    made = Links()
    made.apply(
        (one.encode(), LinkRecord(from_key=one, to_key=other).SerializeToString())
        for one, other in pairs
    )
    return made


def test_root_is_the_end_of_the_chain() -> None:
    """A key linked twice leads to the last one; an unlinked key is its own root."""
    chain = links(("regno:1", "uscc:A"), ("uscc:A", "uscc:B"))
    assert [chain.root_of(key) for key in ("regno:1", "uscc:A", "uscc:B", "uscc:C")] == [
        "uscc:B",
        "uscc:B",
        "uscc:B",
        "uscc:C",
    ]


def test_circle_has_no_root() -> None:
    """Links that lead in a circle leave every key as it is, also one that leads into it."""
    circle = links(("a:1", "a:2"), ("a:2", "a:3"), ("a:3", "a:1"), ("a:0", "a:2"))
    assert [circle.root_of(f"a:{n}") for n in range(4)] == [f"a:{n}" for n in range(4)]


def test_withdrawn_link_leads_nowhere() -> None:
    """An empty target, or no value, takes a link back."""
    made = links(("a:1", "a:2"), ("b:1", "b:2"))
    made.apply([(b"a:1", LinkRecord(from_key="a:1").SerializeToString()), (b"b:1", None)])
    assert [made.root_of("a:1"), made.root_of("b:1")] == ["a:1", "b:1"]


def test_endless_chain_is_given_up() -> None:
    """A chain longer than any real one is not followed to its end."""
    long = links(*((f"a:{n}", f"a:{n + 1}") for n in range(HOPS_MAX + 1)))
    assert long.root_of("a:0") == "a:0"
    assert long.root_of("a:2") == f"a:{HOPS_MAX + 1}"
