"""Keys and names of invented entities, all in reserved ranges (主体标识与名称)."""

import hashlib
from random import Random

from stdnum.cn import uscc
from stdnum.iso7064 import mod_11_10

from services.synthetic.codes import CITY_CODE

ENTITIES_MAX = 1_000_000
"""Numbers that fit the reserved body range XX000000 to XX999999."""

_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_NAME_FIRST = "澄禾拾云沐晴棠岚筱叶潮榕荔霁朗"
_NAME_SECOND = "味里堂屿序苑坊然舟谷野田汀川园"


def _organisation_code(body: str) -> str:
    """Return the organisation code (组织机构代码, GB 11714): body and check character."""
    total = sum(
        weight * int(character, 36)
        for weight, character in zip(_ORGANISATION_WEIGHTS, body, strict=True)
    )
    remainder = 11 - total % 11
    return body + {10: "X", 11: "0"}.get(remainder, str(remainder))


def credit_code(category: str, number: int) -> str:
    """Return a valid unified social credit code in the reserved range (统一社会信用代码).

    `category` is the first two characters, such as `91` for an enterprise. Raises ValueError when
    `number` lies outside 0 to 999,999.
    """
    if not 0 <= number < ENTITIES_MAX:
        message = f"entity number {number}: only 0 to {ENTITIES_MAX - 1} are reserved for invention"
        raise ValueError(message)
    code = category + CITY_CODE + _organisation_code(f"XX{number:06d}")
    return code + str(uscc.calc_check_digit(code))


def registration_number(number: int) -> str:
    """Return a 15-digit registration number of the old kind (注册号) with its check digit."""
    digits = f"{CITY_CODE}{number:08d}"
    return digits + str(mod_11_10.calc_check_digit(digits))


def pseudonym(*parts: object) -> str:
    """Return a pseudonymous key of an invented person: 32 lower-case hex digits."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:32]


def brand(rng: Random) -> str:
    """Return an invented two-character trade name (字号)."""
    return rng.choice(_NAME_FIRST) + rng.choice(_NAME_SECOND)
