"""Template sentences with numbers, dates, times, money, names and questions, which are rare in prose."""

from __future__ import annotations

import random

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Irene", "Jack", "Karen", "Leo", "Maria",
         "Nathan", "Olivia", "Peter", "Quinn", "Rachel", "Samuel", "Teresa", "Victor", "Wendy", "Zoe")  # fmt: skip
FAMILIES = ("Adams", "Baker", "Carter", "Dixon", "Ellis", "Foster", "Graham", "Hughes", "Johnson", "Kelly", "Lewis",
            "Morgan", "Nelson", "Parker", "Reed", "Shaw", "Turner", "Walker", "Young")  # fmt: skip
PLACES = ("London", "Boston", "Madrid", "Chicago", "Sydney", "Toronto", "Dublin", "Berlin", "Tokyo", "Denver", "Oslo",
          "Cairo", "Vienna", "Seattle", "Lisbon")  # fmt: skip
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
THINGS = ("ticket", "jacket", "bicycle", "radio", "camera", "table", "carpet", "blanket", "guitar", "kettle", "mirror")
UNITS = ("miles", "pounds", "meters", "gallons", "inches", "minutes", "degrees", "percent")

TEMPLATES = (
    "The {thing} costs ${money}.",
    "Is this {thing} really ${money}?",
    "{name} paid £{n100} for the {thing}, and {name2} paid £{n100b}.",
    "The meeting is on {day}, {month} {date}, at {time}.",
    "On {month} {date}, {year}, {name} {family} moved to {place}.",
    "The train to {place} leaves at {time} from platform {n20}.",
    "It was {n100} {unit} yesterday, but today it is {n100b}.",
    "Please call {name} {family} at extension {n1000}.",
    "What time does the bus to {place} leave?",
    "Where did {name} put the {thing}?",
    "Why would anyone travel {n1000} {unit} for a {thing}?",
    "Did {name} come back from {place}, or is she still there?",
    "Chapter {n20}: the road to {place}.",
    "Dr. {family} will see {name} on {day} at {time}.",
    "About {n100}% of the {n1000} people in the hall were from {place}.",
    "In {year}, the population of the town was {n10000}.",
    "{name}, {name2} and {name3} shared one {thing}.",
    "That is wonderful, {name}!",
    "Stop! The {thing} is broken.",
    "Mr. and Mrs. {family} live at {n1000} {place} Road.",
    "The {ordinal} answer was right; the others were wrong.",
    "She scored {decimal} points in the {ordinal} round.",
    "Turn left after {n20} {unit}, then take the {ordinal} street on the right.",
    "Hello, {name}. How are you today?",
    "No, thank you, {name}. I will take the {thing} instead.",
    "Can you hear me, {name}? I am calling from {place}.",
    "Between {year} and {year2}, the price rose from ${n100} to ${n1000}.",
    "The result was {decimal} to {n20}, which surprised everyone in {place}.",
)


def template_sentence(rng: random.Random) -> str:
    """Returns one random sentence."""
    date = rng.randint(1, 28)
    names = rng.sample(NAMES, 3)
    return rng.choice(TEMPLATES).format(
        thing=rng.choice(THINGS), name=names[0], name2=names[1], name3=names[2], family=rng.choice(FAMILIES),
        place=rng.choice(PLACES), month=rng.choice(MONTHS), day=rng.choice(DAYS), date=_ordinal(date),
        year=rng.randint(1750, 2030), year2=rng.randint(1750, 2030), unit=rng.choice(UNITS),
        time=f"{rng.randint(1, 12)}:{rng.choice(('00', '05', '10', '15', '20', '30', '40', '45', '50'))} "
             f"{rng.choice(('a.m', 'p.m'))}",
        money=rng.choice((f"{rng.randint(1, 99)}.{rng.randint(5, 99):02d}", str(rng.randint(2, 2000)))),
        n20=rng.randint(2, 20), n100=rng.randint(2, 100), n100b=rng.randint(2, 100), n1000=rng.randint(100, 999),
        n10000=f"{rng.randint(1000, 99_999):,}", ordinal=_ordinal(rng.randint(1, 31)),
        decimal=f"{rng.randint(1, 40)}.{rng.randint(1, 9)}",
    )  # fmt: skip


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
