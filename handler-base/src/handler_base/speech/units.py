"""Units and currencies in English words."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["CENTS", "CURRENCIES", "currency", "unit", "unit_alone"]

_NAMES: Final = """
m meter|km kilometer|cm centimeter|mm millimeter|µm micrometer|μm micrometer|nm nanometer|dm decimeter|mi mile|yd yard
ft foot feet|g gram|kg kilogram|mg milligram|µg microgram|μg microgram|lb pound|lbs pound|oz ounce|l liter|L liter
ml milliliter|mL milliliter|cl centiliter|dl deciliter|dL deciliter|hl hectoliter|gal gallon|s second|sec second
ms millisecond|µs microsecond|μs microsecond|ns nanosecond|min minute|mins minute|h hour|hr hour|hrs hour
mph mile~per~hour miles~per~hour|kph kilometer~per~hour kilometers~per~hour|knot knot|kn knot
W watt|kW kilowatt|MW megawatt|GW gigawatt|Wh watt~hour|kWh kilowatt~hour|MWh megawatt~hour|GWh gigawatt~hour
V volt|kV kilovolt|mV millivolt|mA milliamp|mAh milliamp~hour|Ah amp~hour|Ω ohm|kΩ kilohm|J joule|kJ kilojoule
kcal kilocalorie|cal calorie|K kelvin kelvin|Hz hertz hertz|kHz kilohertz kilohertz|MHz megahertz megahertz
GHz gigahertz gigahertz|dB decibel|Pa pascal|kPa kilopascal|hPa hectopascal|mbar millibar|psi p~s~i p~s~i|lx lux lux
kB kilobyte|KB kilobyte|MB megabyte|GB gigabyte|TB terabyte|PB petabyte|KiB kibibyte|MiB mebibyte|GiB gibibyte
TiB tebibyte|kbit kilobit|Mbit megabit|Gbit gigabit|kb kilobit|Mb megabit|Gb gigabit
kbps kilobit~per~second kilobits~per~second|Mbps megabit~per~second megabits~per~second
Gbps gigabit~per~second gigabits~per~second|px pixel|fps frame~per~second frames~per~second
rpm revolution~per~minute revolutions~per~minute|dpi dot~per~inch dots~per~inch|ppm part~per~million parts~per~million
ha hectare|mol mole|° degree|°C degree~Celsius degrees~Celsius|℃ degree~Celsius degrees~Celsius
°F degree~Fahrenheit degrees~Fahrenheit|℉ degree~Fahrenheit degrees~Fahrenheit|% percent percent|‰ per~mille per~mille
"""
_ONLY_ATTACHED: Final = {"A": ("amp", "amps"), "B": ("billion", "billion"), "M": ("million", "million")}
_TIMES: Final = {"x": ("time", "times"), "\u00d7": ("time", "times")}
_POWERS: Final = {"²": "square ", "2": "square ", "³": "cubic ", "3": "cubic "}
_LONGEST: Final = 16

CURRENCIES: Final = {
    "$": ("dollar", "dollars"),
    "US$": ("dollar", "dollars"),
    "USD": ("dollar", "dollars"),
    "€": ("euro", "euros"),
    "EUR": ("euro", "euros"),
    "£": ("pound", "pounds"),
    "GBP": ("pound", "pounds"),
    "¥": ("yen", "yen"),
    "JPY": ("yen", "yen"),
    "₹": ("rupee", "rupees"),
    "CHF": ("franc", "francs"),
}
CENTS: Final = {"pound": ("penny", "pence")}


def _table() -> dict[str, tuple[str, str]]:
    table = {}
    for entry in _NAMES.replace("\n", "|").strip("|").split("|"):
        symbol, singular, *plural = entry.split(" ")
        table[symbol] = _names(singular, plural)
    return table


def _names(singular: str, plural: list[str]) -> tuple[str, str]:
    name = singular.replace("~", " ")
    return name, plural[0].replace("~", " ") if plural else f"{name}s"


_UNITS: Final = _table()


@lru_cache(maxsize=512)
def unit(symbol: str, *, one: bool, attached: bool = False) -> str:
    """Return a unit in words: ``km/h`` is "kilometers per hour"; the empty string when it is none.

    Args:
        symbol: The unit; powers (``m²``, ``m^2``) and quotients (``mg/dl``) are understood.
        one: Whether there is one of it.
        attached: Whether it stands directly behind its number: ``10A`` are amperes, "10 A" is the article.
    """
    if not 0 < len(symbol) <= _LONGEST:
        return ""
    above, *below = symbol.split("/")
    words = _simple(above, one=one, attached=attached)
    for part in below:
        divisor = _simple(part, one=True, attached=False) or (part if part.isalpha() and len(part) > 2 else "")
        words = f"{words} per {divisor}" if words and divisor else ""
    return words


def _simple(symbol: str, *, one: bool, attached: bool) -> str:
    names = _UNITS.get(symbol) or CURRENCIES.get(symbol)
    if attached and not names:
        names = _ONLY_ATTACHED.get(symbol) or _TIMES.get(symbol)
    if names:
        return names[0] if one else names[1]
    base = symbol[:-1].removesuffix("^")
    if symbol and symbol[-1] in _POWERS and base in _UNITS and base[-1] in "mtdi":
        return _POWERS[symbol[-1]] + _UNITS[base][0 if one else 1]
    return ""


def unit_alone(symbol: str) -> str:
    """Return a unit that stands without a number, where it cannot be anything else: ``km/h``, ``°C``, ``m²``."""
    if symbol[-1:] in ("²", "³") or "°" in symbol or "/" in symbol or symbol == "%":
        above, slash, below = symbol.partition("/")
        if slash and not (_simple(above, one=False, attached=False) and _simple(below, one=True, attached=False)):
            return ""
        return unit(symbol, one=False)
    return ""


def currency(symbol: str, *, one: bool) -> str:
    """Return the name of a currency's unit."""
    names = CURRENCIES[symbol]
    return names[0] if one else names[1]
