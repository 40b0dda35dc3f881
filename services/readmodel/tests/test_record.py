"""The form of records and pointers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.readmodel import pointers, record
from services.readmodel.errors import RecordError
from services.readmodel.pointers import Pointer
from services.readmodel.record import Record, Term

TERMS = st.lists(
    st.builds(Term, st.text(max_size=40), st.binary(max_size=300)), max_size=record.TERMS_MAX // 4
)
POINTERS = st.builds(
    Pointer,
    st.integers(-(1 << 47), (1 << 47) - 1),
    st.binary(min_size=8, max_size=8),
    st.integers(0, (1 << 48) - 1),
)


@given(offset=st.integers(0, (1 << 53) - 1), terms=TERMS, message=st.binary(max_size=200))
def test_decode_of_an_encoded_record_returns_its_parts(
    offset: int, terms: list[Term], message: bytes
) -> None:
    """Nothing of a record is lost, whatever bytes it holds."""
    value = record.encode(offset, terms, message)

    assert record.decode(value) == Record(offset, tuple(terms), message)
    assert record.message_of(value) == message


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"12345678",
        b"12345678\x00",
        b"12345678\x00\x05\x00\x00\x00a",
        b"12345678\x01\x00\x05abc",
    ],
)
def test_decode_of_foreign_bytes_raises(value: bytes) -> None:
    """A value of another form is an error, not an empty record."""
    with pytest.raises(RecordError):
        record.decode(value)


def test_encode_of_more_than_the_scripts_read_raises() -> None:
    """Old terms beyond what a script reads would stay in their indexes for ever."""
    with pytest.raises(RecordError):
        record.encode(1, [Term("x", b"m")] * (record.TERMS_MAX + 1), b"")
    with pytest.raises(RecordError):
        record.encode(1, [Term("x" * 70_000, b"m")], b"")
    with pytest.raises(RecordError):
        record.encode(1, [Term("x" * 250, b"m" * 250)] * 20, b"")


@given(one=POINTERS, other=POINTERS)
def test_pointer_bytes_are_in_time_order(one: Pointer, other: Pointer) -> None:
    """Byte order is time order, then entry order: sorted sets need nothing else."""
    assert (one.encode() < other.encode()) == (one < other)
    assert pointers.decode(one.encode()) == one
    assert len(one.encode()) == pointers.POINTER_BYTES
    assert one.encode().startswith(one.place())


@pytest.mark.parametrize("entry_id", ["", "zz" * 16, "00" * 15, "00" * 17])
def test_entry_hash_of_a_bad_entry_id_raises(entry_id: str) -> None:
    """An entry id is 32 hexadecimal characters."""
    with pytest.raises(RecordError):
        pointers.entry_hash(entry_id)
