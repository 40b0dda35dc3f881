"""The entities of the city (市场主体)."""

from dataclasses import dataclass, replace
from random import Random

from market_supervision.common.v1.envelope_pb2 import EntityKey
from market_supervision.inspections.v1.inspections_events_pb2 import PlaceType
from market_supervision.registration.v1.registration_events_pb2 import EntityType

from services.synthetic import codes, identity


@dataclass(frozen=True, slots=True)
class Trade:
    """A line of business: its name, the licence it needs, the place inspected (业态)."""

    suffix: str
    category: str
    """First two characters of the credit code."""
    entity_type: EntityType.ValueType
    industry_code: str
    place_type: PlaceType.ValueType
    scope: str
    licence_type: str = ""
    """Empty: the business licence alone will do."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One invented entity."""

    number: int
    key: EntityKey
    name: str
    trade: Trade
    town_code: str
    address: str
    person: str
    """Pseudonymous key of who runs it."""
    rng: Random
    """Its own source of chance: what happens to it depends on no other entity."""

    def known_as(self, key: EntityKey) -> "Entity":
        """Return the entity as somebody sees it who knows it by another key."""
        return replace(self, key=key)

    @property
    def canonical_key(self) -> str:
        """Canonical key, `scheme:value`."""
        return f"{self.key.scheme}:{self.key.value}"


_E = EntityType.ENTITY_TYPE_ENTERPRISE
_S = EntityType.ENTITY_TYPE_SOLE_TRADER
_O = EntityType.ENTITY_TYPE_OTHER

RESTAURANT = Trade(
    "餐馆", "92", _S, "H6210", PlaceType.PLACE_TYPE_CATERING, "餐饮服务", "FOOD_OPERATION"
)
SNACK_BAR = Trade(
    "小食店", "92", _S, "H6291", PlaceType.PLACE_TYPE_CATERING, "小餐饮服务", "FOOD_OPERATION"
)
SUPERMARKET = Trade(
    "超市有限公司",
    "91",
    _E,
    "F5212",
    PlaceType.PLACE_TYPE_FOOD_RETAIL,
    "食品、日用品零售",
    "FOOD_OPERATION",
)
GROUP_CATERER = Trade(
    "餐饮配送有限公司",
    "91",
    _E,
    "H6241",
    PlaceType.PLACE_TYPE_CENTRAL_KITCHEN,
    "集体用餐配送",
    "FOOD_OPERATION",
)
BAKERY = Trade(
    "食品加工坊",
    "92",
    _S,
    "C1411",
    PlaceType.PLACE_TYPE_FOOD_WORKSHOP,
    "糕点加工",
    "FOOD_WORKSHOP_REG",
)
SCHOOL = Trade(
    "学校",
    "52",
    _O,
    "P8331",
    PlaceType.PLACE_TYPE_SCHOOL_CANTEEN,
    "教学; 食堂供餐",
    "FOOD_OPERATION",
)
KINDERGARTEN = Trade(
    "幼儿园",
    "52",
    _O,
    "P8310",
    PlaceType.PLACE_TYPE_KINDERGARTEN_CANTEEN,
    "学前教育; 食堂供餐",
    "FOOD_OPERATION",
)
PHARMACY = Trade(
    "大药房有限公司",
    "91",
    _E,
    "F5251",
    PlaceType.PLACE_TYPE_PHARMACY,
    "药品、医疗器械、化妆品零售",
    "DRUG_OPERATION",
)
GYM = Trade(
    "健身服务有限公司", "91", _E, "R8930", PlaceType.PLACE_TYPE_PUBLIC_VENUE, "健身休闲 (预付卡)"
)
LAMP_MAKER = Trade(
    "灯饰有限公司", "91", _E, "C3872", PlaceType.PLACE_TYPE_PRODUCTION, "灯具制造、销售"
)
ONLINE_SHOP = Trade(
    "电子商务有限公司", "91", _E, "F5292", PlaceType.PLACE_TYPE_ONLINE, "互联网零售"
)

COMMON_TRADES: tuple[Trade, ...] = (
    RESTAURANT,
    SNACK_BAR,
    SUPERMARKET,
    BAKERY,
    PHARMACY,
    LAMP_MAKER,
    ONLINE_SHOP,
    GYM,
)
"""What most entities of the city are."""


def invent(seed: int, number: int, trade: Trade) -> Entity:
    """Return entity `number` of the city with this seed; the same arguments, the same entity."""
    rng = Random(f"city/{seed}/{number}")
    town_code, town_name = rng.choice(codes.TOWNS)
    key = EntityKey(scheme="uscc", value=identity.credit_code(trade.category, number))
    return Entity(
        number=number,
        key=key,
        name=f"中山市{town_name}{identity.brand(rng)}{trade.suffix}",
        trade=trade,
        town_code=town_code,
        address=f"中山市{town_name}虚构路{rng.randint(1, 299)}号",
        person=identity.pseudonym(seed, number),
        rng=rng,
    )
